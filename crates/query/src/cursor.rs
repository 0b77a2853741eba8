//! A place in the token stream: looking ahead, taking what is expected, and saying precisely what was found instead.

use crate::{
    error::QueryError,
    expr::{Segment, Span},
    lexer::{Lexicon, Symbol, Token, TokenKind, lex, shorten},
    limits::Limits,
    value::Number,
};

/// Words that are never a name or an alias unless written `[[so]]`. Fewer than Azure reserves ("reserved keywords"):
/// where a word can only be a name, it is taken as one.
const RESERVED: &[&str] = &[
    "AND", "AS", "BY", "FALSE", "FROM", "GROUP", "IN", "JOIN", "MATCH", "NIN", "NOT", "NULL", "OR", "ORDER",
    "RELATED", "SELECT", "TRUE", "WHERE",
];

/// A path as written, before a dialect says what its first name means.
#[derive(Debug)]
pub(crate) struct RawPath {
    pub(crate) segments: Vec<Segment>,
    pub(crate) span: Span,
}

impl RawPath {
    /// The first name; a path starts with one.
    pub(crate) fn head(&self) -> &str {
        match self.segments.first() {
            Some(Segment::Name(name)) => name,
            _ => "",
        }
    }
}

/// The tokens of one query and how far they were read.
pub(crate) struct Cursor<'t> {
    pub(crate) text: &'t str,
    pub(crate) limits: Limits,
    noun: &'static str,
    tokens: Vec<Token>,
    at: usize,
}

impl<'t> Cursor<'t> {
    pub(crate) fn new(text: &'t str, lexicon: Lexicon, limits: &Limits) -> Result<Self, QueryError> {
        Ok(Self { text, limits: *limits, noun: lexicon.noun, tokens: lex(text, lexicon, limits)?, at: 0 })
    }

    /// The token to be read next; at the end, the end.
    pub(crate) fn peek(&self) -> &Token {
        self.ahead(0)
    }

    /// The token `count` after the next one.
    pub(crate) fn ahead(&self, count: usize) -> &Token {
        let last = self.tokens.len() - 1; // the lexer always puts an end token there
        &self.tokens[(self.at + count).min(last)]
    }

    /// Takes the next token.
    pub(crate) fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    /// Where the last taken token ended.
    pub(crate) fn last_end(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |last| self.tokens[last].span.end)
    }

    pub(crate) fn at_symbol(&self, symbol: Symbol) -> bool {
        self.peek().kind == TokenKind::Symbol(symbol)
    }

    pub(crate) fn eat_symbol(&mut self, symbol: Symbol) -> bool {
        let found = self.at_symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    pub(crate) fn expect_symbol(&mut self, symbol: Symbol) -> Result<(), QueryError> {
        if self.eat_symbol(symbol) { Ok(()) } else { Err(self.expected(&format!("'{}'", symbol.text()))) }
    }

    /// Whether the next token is this unquoted word, in any letter case.
    pub(crate) fn at_keyword(&self, keyword: &str) -> bool {
        is_keyword(self.peek(), keyword)
    }

    pub(crate) fn eat_keyword(&mut self, keyword: &str) -> bool {
        let found = self.at_keyword(keyword);
        if found {
            self.advance();
        }
        found
    }

    pub(crate) fn expect_keyword(&mut self, keyword: &str) -> Result<(), QueryError> {
        if self.eat_keyword(keyword) { Ok(()) } else { Err(self.expected(keyword)) }
    }

    /// Whether a name that is no reserved word comes next.
    pub(crate) fn at_name(&self) -> bool {
        matches!(&self.peek().kind, TokenKind::Name { text, quoted } if *quoted || !is_reserved(text))
    }

    /// Takes a name that is no reserved word.
    pub(crate) fn name(&mut self, what: &str) -> Result<(String, Span), QueryError> {
        if self.at_name()
            && let Token { kind: TokenKind::Name { text, .. }, span } = self.advance()
        {
            return Ok((text, span));
        }
        Err(self.expected_name(what))
    }

    /// Takes `name`, `.name` and, where the dialect has arrays, `[3]`.
    pub(crate) fn raw_path(&mut self, what: &str, indexing: bool) -> Result<RawPath, QueryError> {
        let (head, span) = self.name(what)?;
        let mut segments = vec![Segment::Name(head)];
        loop {
            if self.eat_symbol(Symbol::Dot) {
                segments.push(Segment::Name(self.name_after_dot()?));
            } else if indexing && self.at_symbol(Symbol::LeftBracket) {
                segments.push(Segment::Index(self.index()?));
            } else {
                return Ok(RawPath { segments, span: Span::new(span.start, self.last_end()) });
            }
        }
    }

    /// After a dot every word is a name.
    fn name_after_dot(&mut self) -> Result<String, QueryError> {
        match self.peek().kind.clone() {
            TokenKind::Name { text, .. } => {
                self.advance();
                Ok(text)
            }
            _ => Err(self.expected("a property name after '.'")),
        }
    }

    fn index(&mut self) -> Result<usize, QueryError> {
        self.expect_symbol(Symbol::LeftBracket)?;
        let index = match self.peek().kind {
            TokenKind::Number(Number::Int(value)) => usize::try_from(value).ok(),
            _ => None,
        };
        let index = index.ok_or_else(|| self.expected("an array index, a whole number from 0"))?;
        self.advance();
        self.expect_symbol(Symbol::RightBracket)?;
        Ok(index)
    }

    /// The end of the query, or an error naming what could have followed.
    pub(crate) fn expect_end(&self, alternatives: &str) -> Result<(), QueryError> {
        if self.peek().kind == TokenKind::End { Ok(()) } else { Err(self.expected(alternatives)) }
    }

    /// "expected X, found Y" at the next token.
    pub(crate) fn expected(&self, what: &str) -> QueryError {
        self.error_at(self.peek().span, format!("expected {what}, found {}", self.found()))
    }

    /// Like [`Self::expected`], with the hint how a reserved word becomes a name.
    pub(crate) fn expected_name(&self, what: &str) -> QueryError {
        let mut error = self.expected(what);
        if let TokenKind::Name { text, quoted: false } = &self.peek().kind {
            error.message.push_str(&format!("; to use the reserved word as a name write [[{text}]]"));
        }
        error
    }

    pub(crate) fn error_at(&self, span: Span, message: impl Into<String>) -> QueryError {
        QueryError::at(self.text, span.start, message)
    }

    /// The next token as the user wrote it.
    pub(crate) fn found(&self) -> String {
        let Token { kind, span } = self.peek();
        match kind {
            TokenKind::End => format!("the end of the {}", self.noun),
            _ => format!("'{}'", shorten(&self.text[span.start..span.end])),
        }
    }
}

/// Whether the token is this unquoted word, in any letter case.
pub(crate) fn is_keyword(token: &Token, keyword: &str) -> bool {
    matches!(&token.kind, TokenKind::Name { text, quoted: false } if text.eq_ignore_ascii_case(keyword))
}

fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| word.eq_ignore_ascii_case(reserved))
}
