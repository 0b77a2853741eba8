//! Text to tokens. Keywords are not told from names here: whether `TOP` is a keyword or a property depends on where
//! it stands. Each token knows its byte range; line and column follow from it when an error is made.

use crate::{error::QueryError, expr::Span, limits::Limits, value::Number};

/// One token and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenKind {
    /// A name or keyword; `quoted` if written `[[so]]`, which is never a keyword.
    Name {
        text: String,
        quoted: bool,
    },
    /// A string literal with its escapes undone.
    Text(String),
    Number(Number),
    Symbol(Symbol),
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Symbol {
    Dot,
    Comma,
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    Star,
    Plus,
    Minus,
    Slash,
    Percent,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// `|`, `:` and `..` belong to the patterns of digital twins queries.
    Pipe,
    Colon,
    Range,
}

impl Symbol {
    /// How the symbol is written.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Dot => ".",
            Self::Comma => ",",
            Self::LeftParen => "(",
            Self::RightParen => ")",
            Self::LeftBracket => "[",
            Self::RightBracket => "]",
            Self::Star => "*",
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Slash => "/",
            Self::Percent => "%",
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Pipe => "|",
            Self::Colon => ":",
            Self::Range => "..",
        }
    }
}

/// What differs between the dialects at the level of characters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lexicon {
    /// `$dt-dataschema` is one name: a dash between name characters, followed by a letter, belongs to the name.
    pub(crate) dashed_names: bool,
    /// What the text is called in messages.
    pub(crate) noun: &'static str,
    /// There are patterns, such as `-[r:contains|feeds*1..3]->`.
    pub(crate) patterns: bool,
}

/// All tokens of `text`, the last one [`TokenKind::End`].
///
/// # Errors
/// Text longer than `limits.max_chars`, a character that starts no token, an unfinished string, a bad escape or a
/// malformed number.
pub(crate) fn lex(text: &str, lexicon: Lexicon, limits: &Limits) -> Result<Vec<Token>, QueryError> {
    if let Some((offset, _)) = text.char_indices().nth(limits.max_chars) {
        let message =
            format!("the {} is longer than the allowed {} characters", lexicon.noun, limits.max_chars);
        return Err(QueryError::at(text, offset, message));
    }
    let mut lexer = Lexer { text, at: 0, lexicon };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.token(tokens.last())?;
        let done = token.kind == TokenKind::End;
        tokens.push(token);
        if done {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    lexicon: Lexicon,
}

impl<'t> Lexer<'t> {
    fn token(&mut self, before: Option<&Token>) -> Result<Token, QueryError> {
        self.take_while(char::is_whitespace);
        let start = self.at;
        let kind = match self.peek() {
            None => TokenKind::End,
            Some('.') if self.lexicon.patterns && self.rest().starts_with("..") && counts_hops(before) => {
                self.symbol_of(Symbol::Range, 2)
            }
            Some(quote @ ('\'' | '"')) => self.string(quote)?,
            Some(c) if c.is_ascii_digit() => self.number()?,
            Some('.') if self.peek_second().is_some_and(|c| c.is_ascii_digit()) && !self.after_name() => {
                self.number()?
            }
            Some('[') => self.quoted_name(before).unwrap_or_else(|| self.symbol_of(Symbol::LeftBracket, 1)),
            Some(c) if starts_name(c) => self.name(),
            Some(c) => self.symbol(c)?,
        };
        Ok(Token { kind, span: Span::new(start, self.at) })
    }

    fn name(&mut self) -> TokenKind {
        let start = self.at;
        loop {
            self.take_while(continues_name);
            let dashed = self.lexicon.dashed_names && self.peek() == Some('-');
            if !(dashed && self.peek_second().is_some_and(char::is_alphabetic)) {
                break;
            }
            self.at += 1;
        }
        TokenKind::Name { text: self.text[start..self.at].to_owned(), quoted: false }
    }

    /// `[[name]]`, Azure's escape for reserved words and unusual names. `[['a']]` is not one; behind a point (where no list can
    /// stand) anything is, for ids of configurations have few bounds.
    fn quoted_name(&mut self, before: Option<&Token>) -> Option<TokenKind> {
        let inside = self.rest().strip_prefix("[[")?;
        let name = &inside[..inside.find("]]")?];
        let plain =
            name.chars().next().is_some_and(starts_name) && !name.contains(['\'', '"', ',', '[', ']']);
        let below = before.is_some_and(|token| token.kind == TokenKind::Symbol(Symbol::Dot));
        (plain || (below && !name.is_empty())).then(|| {
            self.at += name.len() + 4;
            TokenKind::Name { text: name.to_owned(), quoted: true }
        })
    }

    fn number(&mut self) -> Result<TokenKind, QueryError> {
        let start = self.at;
        let hexadecimal = self.rest().starts_with("0x") || self.rest().starts_with("0X");
        if hexadecimal {
            self.at += 2;
            self.take_while(|c| c.is_ascii_hexdigit());
        } else {
            self.decimal();
        }
        let digits = &self.text[start..self.at];
        let number = if hexadecimal {
            u64::from_str_radix(&digits[2..], 16).ok().map(|value| Number::Int(i128::from(value)))
        } else {
            Number::parse(digits)
        };
        let glued = self.peek().is_some_and(starts_name);
        match number.filter(|_| !glued) {
            Some(number) => Ok(TokenKind::Number(number)),
            None => {
                self.take_while(continues_name);
                let written = &self.text[start..self.at];
                Err(QueryError::at(self.text, start, format!("'{}' is not a number", shorten(written))))
            }
        }
    }

    /// Digits, a fraction if a digit follows the point, an exponent if digits follow the `e`.
    fn decimal(&mut self) {
        self.take_while(|c| c.is_ascii_digit());
        if self.peek() == Some('.') && self.peek_second().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
            self.take_while(|c| c.is_ascii_digit());
        }
        if let Some(exponent) = self.rest().strip_prefix(['e', 'E']) {
            let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if unsigned.starts_with(|c: char| c.is_ascii_digit()) {
                self.at += 1 + (exponent.len() - unsigned.len());
                self.take_while(|c| c.is_ascii_digit());
            }
        }
    }

    /// A literal in single or double quotes. The quote itself is written `\'` or doubled.
    fn string(&mut self, quote: char) -> Result<TokenKind, QueryError> {
        let start = self.at;
        self.at += 1;
        let mut value = String::new();
        while let Some(c) = self.peek() {
            if c == '\\' {
                value.push(self.escape()?);
            } else if c != quote {
                value.push(c);
                self.at += c.len_utf8();
            } else if self.peek_second() == Some(quote) {
                value.push(quote);
                self.at += 2;
            } else {
                self.at += 1;
                return Ok(TokenKind::Text(value));
            }
        }
        Err(QueryError::at(self.text, start, format!("the string that starts here has no closing {quote}")))
    }

    fn escape(&mut self) -> Result<char, QueryError> {
        let start = self.at;
        let letter = self.peek_second();
        self.at += 1 + letter.map_or(0, char::len_utf8);
        match letter {
            Some(c @ ('\'' | '"' | '\\' | '/')) => Ok(c),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('u') => self.unicode_escape(start),
            _ => Err(QueryError::at(
                self.text,
                start,
                r#"unknown escape; a string allows \' \" \\ \/ \b \f \n \r \t and \u with four hexadecimal digits"#,
            )),
        }
    }

    /// The digits after `\u`; a high surrogate needs its low one right behind.
    fn unicode_escape(&mut self, start: usize) -> Result<char, QueryError> {
        let bad = |lexer: &Self| {
            QueryError::at(
                lexer.text,
                start,
                r"\u needs four hexadecimal digits that form a Unicode character",
            )
        };
        let first = self.hex4().ok_or_else(|| bad(self))?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first).ok_or_else(|| bad(self));
        }
        if !self.rest().starts_with("\\u") {
            return Err(bad(self));
        }
        self.at += 2;
        let second = self.hex4().filter(|low| (0xDC00..0xE000).contains(low)).ok_or_else(|| bad(self))?;
        char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)).ok_or_else(|| bad(self))
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4).filter(|four| four.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let value = u32::from_str_radix(digits, 16).ok()?;
        self.at += 4;
        Some(value)
    }

    fn symbol(&mut self, c: char) -> Result<TokenKind, QueryError> {
        let second = self.peek_second();
        let (symbol, length) = match (c, second) {
            ('<', Some('=')) => (Symbol::LessEqual, 2),
            ('>', Some('=')) => (Symbol::GreaterEqual, 2),
            ('!', Some('=')) | ('<', Some('>')) => (Symbol::NotEqual, 2),
            ('<', _) => (Symbol::Less, 1),
            ('>', _) => (Symbol::Greater, 1),
            ('=', _) => (Symbol::Equal, 1),
            ('.', _) => (Symbol::Dot, 1),
            (',', _) => (Symbol::Comma, 1),
            ('(', _) => (Symbol::LeftParen, 1),
            (')', _) => (Symbol::RightParen, 1),
            (']', _) => (Symbol::RightBracket, 1),
            ('*', _) => (Symbol::Star, 1),
            ('+', _) => (Symbol::Plus, 1),
            ('-', _) => (Symbol::Minus, 1),
            ('/', _) => (Symbol::Slash, 1),
            ('%', _) => (Symbol::Percent, 1),
            ('|', _) if self.lexicon.patterns => (Symbol::Pipe, 1),
            (':', _) if self.lexicon.patterns => (Symbol::Colon, 1),
            _ => {
                let message = format!("unexpected character '{}'", c.escape_debug());
                return Err(QueryError::at(self.text, self.at, message));
            }
        };
        Ok(self.symbol_of(symbol, length))
    }

    fn symbol_of(&mut self, symbol: Symbol, length: usize) -> TokenKind {
        self.at += length;
        TokenKind::Symbol(symbol)
    }

    /// Whether the character before this one ends a name, an index or a call: then a point is a separator.
    fn after_name(&self) -> bool {
        self.text[..self.at].ends_with(|c: char| continues_name(c) || c == ']' || c == ')')
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn peek_second(&self) -> Option<char> {
        self.rest().chars().nth(1)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    }
}

/// Whether two points after this token stand between numbers of hops (`*2..3`, `*..3`), not in a path.
fn counts_hops(before: Option<&Token>) -> bool {
    before.is_some_and(|token| matches!(token.kind, TokenKind::Number(_) | TokenKind::Symbol(Symbol::Star)))
}

fn starts_name(c: char) -> bool {
    c.is_alphabetic() || c == '_' || c == '$'
}

fn continues_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// At most 40 characters of what the user wrote, for an error message.
pub(crate) fn shorten(written: &str) -> String {
    const SHOWN: usize = 40;
    match written.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}...", &written[..cut]),
        None => written.to_owned(),
    }
}
