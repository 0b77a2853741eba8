//! What names mean in a twins query: aliases, properties without an alias, `IS_OF_MODEL`.

use super::ast::{Alias, AliasKind};
use crate::{
    cursor::{Cursor, RawPath},
    error::{QueryError, did_you_mean},
    expr::{ExprKind, Path, Span},
    functions::{Signature, TWINS},
    lexer::{Symbol, TokenKind},
    parser::{Dialect, Style},
};

/// The aliases declared so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) aliases: Vec<Alias>,
}

impl Names {
    /// Adds an alias and returns its number.
    pub(super) fn declare(
        &mut self,
        name: Option<(String, Span)>,
        kind: AliasKind,
        cursor: &Cursor<'_>,
    ) -> Result<u16, QueryError> {
        if let Some((name, span)) = &name
            && self.declared(name).is_some()
        {
            return Err(cursor.error_at(*span, format!("the alias {name} is declared twice")));
        }
        let declared = name.is_some();
        Ok(self.push(Alias { name: name.map(|(name, _)| name), kind, declared }))
    }

    /// Adds a relationship that is only known by its relationship name.
    pub(super) fn imply(&mut self, relationship: &str) -> u16 {
        let name = Some(relationship.to_owned());
        self.push(Alias { name, kind: AliasKind::Relationship, declared: false })
    }

    fn push(&mut self, alias: Alias) -> u16 {
        self.aliases.push(alias);
        // The query's length bounds the number of joins far below this.
        u16::try_from(self.aliases.len() - 1).unwrap_or(u16::MAX)
    }

    /// The number of an alias that was written as one.
    pub(super) fn declared(&self, name: &str) -> Option<u16> {
        self.number(|alias| alias.declared && alias.name.as_deref() == Some(name))
    }

    /// Whether the alias stands for a twin.
    pub(super) fn is_twin(&self, alias: u16) -> bool {
        self.aliases.get(usize::from(alias)).is_some_and(|alias| alias.kind == AliasKind::Twin)
    }

    fn number(&self, wanted: impl Fn(&Alias) -> bool) -> Option<u16> {
        self.aliases.iter().position(wanted).and_then(|at| u16::try_from(at).ok())
    }

    /// An error for a name that is no alias.
    pub(super) fn unknown(&self, name: &str, span: Span, cursor: &Cursor<'_>) -> QueryError {
        let known =
            || self.aliases.iter().filter(|alias| alias.declared).filter_map(|alias| alias.name.as_deref());
        let mut message = format!("there is no alias {name}{}", did_you_mean(name, known()));
        let declared: Vec<&str> = known().take(10).collect();
        if !declared.is_empty() {
            message.push_str(&format!("; declared: {}", declared.join(", ")));
        }
        cursor.error_at(span, message)
    }

    /// The document and property a path means. Without a `JOIN` a path may leave out the alias; with one it must
    /// not, or nobody could tell whose property is meant.
    pub(super) fn path(&self, raw: RawPath, cursor: &Cursor<'_>) -> Result<Path, QueryError> {
        let head = raw.head();
        if let Some(root) = self.declared(head) {
            return Ok(Path { root, segments: raw.segments.into_iter().skip(1).collect() });
        }
        if self.aliases.len() == 1 {
            return Ok(Path { root: 0, segments: raw.segments });
        }
        let implied = |alias: &Alias| !alias.declared && alias.name.as_deref() == Some(head);
        match (self.number(implied), self.aliases.iter().filter(|alias| implied(alias)).count()) {
            (Some(root), 1) => Ok(Path { root, segments: raw.segments.into_iter().skip(1).collect() }),
            (Some(_), _) => {
                let message = format!("several JOINs follow {head}: give the relationship meant an alias");
                Err(cursor.error_at(raw.span, message))
            }
            (None, _) => Err(self.unknown(head, raw.span, cursor)),
        }
    }

    /// `IS_OF_MODEL([alias,] 'model' [, exact])`, after the parenthesis.
    fn is_of_model(&self, cursor: &mut Cursor<'_>) -> Result<ExprKind, QueryError> {
        let root = if cursor.at_name() { self.model_alias(cursor)? } else { self.only_twin(cursor)? };
        let TokenKind::Text(model) = cursor.peek().kind.clone() else {
            return Err(cursor.expected("a model id in quotes"));
        };
        cursor.advance();
        let exact = cursor.eat_symbol(Symbol::Comma);
        if exact && !cursor.eat_keyword("EXACT") {
            return Err(cursor.expected("exact"));
        }
        if !cursor.eat_symbol(Symbol::RightParen) {
            return Err(cursor.expected(if exact { "')'" } else { "', exact' or ')'" }));
        }
        Ok(ExprKind::IsOfModel { root, model, exact })
    }

    fn model_alias(&self, cursor: &mut Cursor<'_>) -> Result<u16, QueryError> {
        let (name, span) = cursor.name("an alias or a model id in quotes")?;
        let root = self.declared(&name).ok_or_else(|| self.unknown(&name, span, cursor))?;
        self.must_be_twin(root, span, cursor)?;
        cursor.expect_symbol(Symbol::Comma)?;
        Ok(root)
    }

    fn only_twin(&self, cursor: &Cursor<'_>) -> Result<u16, QueryError> {
        let span = cursor.peek().span;
        if self.aliases.len() > 1 {
            let message =
                "with JOIN or MATCH, IS_OF_MODEL needs to know which twin: IS_OF_MODEL(alias, 'model')";
            return Err(cursor.error_at(span, message));
        }
        self.must_be_twin(0, span, cursor)?;
        Ok(0)
    }

    fn must_be_twin(&self, root: u16, span: Span, cursor: &Cursor<'_>) -> Result<(), QueryError> {
        match self.aliases.get(usize::from(root)).map(|alias| alias.kind) {
            Some(AliasKind::Relationship) => {
                Err(cursor.error_at(span, "a relationship has no model of its own"))
            }
            Some(AliasKind::Twin) | None => Ok(()),
        }
    }
}

impl Dialect for Names {
    fn signatures(&self) -> &'static [Signature] {
        TWINS
    }

    fn resolve(&self, path: RawPath, cursor: &Cursor<'_>) -> Result<Path, QueryError> {
        self.path(path, cursor)
    }

    fn special_call(&self, name: &str, cursor: &mut Cursor<'_>) -> Result<Option<ExprKind>, QueryError> {
        if name.eq_ignore_ascii_case("IS_OF_MODEL") { self.is_of_model(cursor).map(Some) } else { Ok(None) }
    }

    fn special_names(&self) -> &'static [&'static str] {
        &["IS_OF_MODEL"]
    }

    fn style(&self) -> Style {
        Style::Twins
    }
}
