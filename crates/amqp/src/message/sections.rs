//! [`Sections`]: where the sections of an encoded message begin and end, found without decoding them.

use bytes::Bytes;

use super::{AnnotationKey, Annotations, ApplicationProperties, Body, Header, Properties, code, fields};
use crate::decode::{DecodeError, DecodeErrorKind, Decoder};
use crate::value::{Kind, Value};

/// An encoded message, cut at its section boundaries. The accessors decode one section each, when asked.
///
/// ```text
/// | header | delivery-annotations | message-annotations | properties | application-properties | body+ | footer |
///                                                        \____________ bare message ______________/
/// ```
///
/// A server forwards [`bare`](Self::bare) untouched and writes its own annotations before it. Delivery annotations are read
/// behind the body as well, where PyPI's azure-eventhub writes them (`encode_payload` in `_pyamqp/_encode.py`).
#[derive(Clone, Debug, Default)]
pub struct Sections {
    /// Each section's value, without its descriptor, and where it stands in the input.
    header: Option<Part>,
    delivery_annotations: Option<Part>,
    message_annotations: Option<Part>,
    properties: Option<Part>,
    application_properties: Option<Part>,
    body: Vec<(u64, Part)>,
    footer: Option<Part>,
    bare: Bytes,
}

#[derive(Clone, Debug)]
struct Part {
    value: Bytes,
    at: usize,
}

impl Sections {
    /// Finds the sections of a message. Looks at descriptors and sizes only.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are no sequence of message sections in the standard's order, delivery annotations aside.
    pub fn find(input: Bytes) -> Result<Self, DecodeError> {
        let mut found = Self::default();
        let mut decoder = Decoder::new(input);
        let (mut bare_start, mut bare_end) = (None, 0);
        let mut previous = 0;
        while !decoder.is_done() {
            let start = decoder.at();
            let unexpected = DecodeError { at: start, kind: DecodeErrorKind::UnexpectedSection };
            let code = section_code(&mut decoder, &unexpected)?;
            let at = decoder.at();
            decoder.skip()?;
            let repeats = code == previous && matches!(code, code::DATA | code::SEQUENCE);
            let is_body = matches!(code, code::DATA | code::SEQUENCE | code::VALUE);
            let late = code == code::DELIVERY_ANNOTATIONS
                && previous >= code::DATA
                && found.delivery_annotations.is_none();
            let misplaced = code <= previous && !repeats && !late;
            if misplaced || (is_body && !repeats && !found.body.is_empty()) {
                return Err(unexpected);
            }
            // Behind them the body does not go on.
            previous = if late { previous.max(code::VALUE) } else { code };
            if (code::PROPERTIES..=code::VALUE).contains(&code) {
                bare_start.get_or_insert(start);
                bare_end = decoder.at();
            }
            let part = Part { value: decoder.slice(at..decoder.at()), at };
            match code {
                code::HEADER => found.header = Some(part),
                code::DELIVERY_ANNOTATIONS => found.delivery_annotations = Some(part),
                code::MESSAGE_ANNOTATIONS => found.message_annotations = Some(part),
                code::PROPERTIES => found.properties = Some(part),
                code::APPLICATION_PROPERTIES => found.application_properties = Some(part),
                code::FOOTER => found.footer = Some(part),
                _ => found.body.push((code, part)),
            }
        }
        if let Some(start) = bare_start {
            found.bare = decoder.slice(start..bare_end);
        }
        Ok(found)
    }

    /// Properties, application-properties and body as they were encoded, descriptors and all.
    #[must_use]
    pub fn bare(&self) -> &Bytes {
        &self.bare
    }

    /// The header section.
    ///
    /// # Errors
    /// [`DecodeError`] in this section.
    pub fn header(&self) -> Result<Option<Header>, DecodeError> {
        decode_list(self.header.as_ref(), fields::header_from_list)
    }

    /// The delivery-annotations section.
    ///
    /// # Errors
    /// [`DecodeError`] in this section.
    pub fn delivery_annotations(&self) -> Result<Annotations, DecodeError> {
        decode_annotations(self.delivery_annotations.as_ref())
    }

    /// The message-annotations section.
    ///
    /// # Errors
    /// [`DecodeError`] in this section.
    pub fn message_annotations(&self) -> Result<Annotations, DecodeError> {
        decode_annotations(self.message_annotations.as_ref())
    }

    /// The properties section.
    ///
    /// # Errors
    /// [`DecodeError`] in this section.
    pub fn properties(&self) -> Result<Option<Properties>, DecodeError> {
        decode_list(self.properties.as_ref(), fields::properties_from_list)
    }

    /// The application-properties section.
    ///
    /// # Errors
    /// [`DecodeError`] in this section.
    pub fn application_properties(&self) -> Result<ApplicationProperties, DecodeError> {
        let pairs = decode_map(self.application_properties.as_ref(), |key| match key {
            Value::String(name) => Ok(name),
            other => Err(unexpected("a string as key", &other)),
        })?;
        Ok(ApplicationProperties(pairs))
    }

    /// The footer section.
    ///
    /// # Errors
    /// [`DecodeError`] in this section.
    pub fn footer(&self) -> Result<Annotations, DecodeError> {
        decode_annotations(self.footer.as_ref())
    }

    /// The body sections.
    ///
    /// # Errors
    /// [`DecodeError`] in these sections.
    pub fn body(&self) -> Result<Body, DecodeError> {
        let Some((code, first)) = self.body.first() else { return Ok(Body::Empty) };
        let parts = || self.body.iter().map(|(_, part)| part);
        match *code {
            code::DATA => {
                let pieces = parts().map(|part| match part.decode()? {
                    Value::Binary(bytes) => Ok(bytes),
                    // What npm's clients make of a body that is null; Azure takes it.
                    Value::Null => Ok(Bytes::new()),
                    other => Err(part.error(unexpected("a binary", &other))),
                });
                pieces.collect::<Result<_, _>>().map(Body::Data)
            }
            code::SEQUENCE => {
                let lists = parts().map(|part| match part.decode()? {
                    Value::List(items) => Ok(items),
                    other => Err(part.error(unexpected("a list", &other))),
                });
                lists.collect::<Result<_, _>>().map(Body::Sequence)
            }
            _ => first.decode().map(Body::Value),
        }
    }
}

impl Part {
    fn decode(&self) -> Result<Value, DecodeError> {
        Decoder::new(self.value.clone())
            .value()
            .map_err(|error| DecodeError { at: error.at + self.at, kind: error.kind })
    }

    fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { at: self.at, kind }
    }
}

/// Reads a section's descriptor, in either of its two forms.
fn section_code(decoder: &mut Decoder, unexpected: &DecodeError) -> Result<u64, DecodeError> {
    let start = decoder.at();
    if decoder.rest().first() != Some(&0x00) {
        return Err(unexpected.clone());
    }
    let mut head = Decoder::new(decoder.slice(start + 1..start + decoder.rest().len()));
    let descriptor =
        head.value().map_err(|error| DecodeError { at: error.at + start + 1, kind: error.kind })?;
    let code = match descriptor {
        Value::Ulong(code) if (code::HEADER..=code::FOOTER).contains(&code) => code,
        Value::Symbol(name) => match name.as_str() {
            "amqp:header:list" => code::HEADER,
            "amqp:delivery-annotations:map" => code::DELIVERY_ANNOTATIONS,
            "amqp:message-annotations:map" => code::MESSAGE_ANNOTATIONS,
            "amqp:properties:list" => code::PROPERTIES,
            "amqp:application-properties:map" => code::APPLICATION_PROPERTIES,
            "amqp:data:binary" => code::DATA,
            "amqp:amqp-sequence:list" => code::SEQUENCE,
            "amqp:amqp-value:*" => code::VALUE,
            "amqp:footer:map" => code::FOOTER,
            _ => return Err(unexpected.clone()),
        },
        _ => return Err(unexpected.clone()),
    };
    decoder.advance(1 + head.at())?;
    Ok(code)
}

fn unexpected(expected: &'static str, found: &Value) -> DecodeErrorKind {
    DecodeErrorKind::Unexpected { expected, found: found.kind() }
}

fn decode_list<T>(
    part: Option<&Part>,
    read: impl FnOnce(Vec<Value>) -> Result<T, DecodeErrorKind>,
) -> Result<Option<T>, DecodeError> {
    let Some(part) = part else { return Ok(None) };
    match part.decode()? {
        Value::List(items) => read(items).map(Some).map_err(|kind| part.error(kind)),
        other => Err(part.error(DecodeErrorKind::Unexpected { expected: "a list", found: other.kind() })),
    }
}

fn decode_map<K>(
    part: Option<&Part>,
    key: impl Fn(Value) -> Result<K, DecodeErrorKind>,
) -> Result<Vec<(K, Value)>, DecodeError> {
    let Some(part) = part else { return Ok(Vec::new()) };
    match part.decode()? {
        Value::Map(pairs) => pairs
            .into_iter()
            .map(|(name, value)| key(name).map(|name| (name, value)).map_err(|kind| part.error(kind)))
            .collect(),
        // A null stands for a map that is not there; some encoders write it.
        Value::Null => Ok(Vec::new()),
        other => {
            let found: Kind = other.kind();
            Err(part.error(DecodeErrorKind::Unexpected { expected: "a map", found }))
        }
    }
}

fn decode_annotations(part: Option<&Part>) -> Result<Annotations, DecodeError> {
    let pairs = decode_map(part, |key| match key {
        Value::Symbol(name) => Ok(AnnotationKey::Symbol(name)),
        Value::Ulong(number) => Ok(AnnotationKey::Ulong(number)),
        other => Err(unexpected("a symbol as key", &other)),
    })?;
    Ok(Annotations(pairs))
}
