//! Requests on a pair of links, as `$cbs` and `$management` take them: a message in, a message out.
//!
//! Source: "AMQP Claims-Based Security Version 1.0" and "AMQP Management Version 1.0" (OASIS working drafts), as PyPI's
//! azure-eventhub (`_pyamqp/management_link.py`, `_pyamqp/cbs.py`) and npm's @azure/core-amqp (`requestResponseLink.ts`)
//! speak them.

use std::sync::Arc;

use bytes::Bytes;
use pollux_amqp::endpoint::LinkId;
use pollux_amqp::{ApplicationProperties, Body, Message, Properties, Symbol, Value};
use pollux_model::Error;

use super::condition::{condition_of, status_of};
use super::connection::{Connection, Done, Link};
use super::outbox::Outbox;
use super::{cbs, management};

/// Requests a peer may have under way.
pub(super) const CREDIT: u32 = 100;
/// Answers that wait for credit.
const WAITING: usize = 200;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    /// `$cbs`.
    Cbs,
    /// `$management`.
    Management,
    /// Where a device registers: its requests go another way (see `registration.rs`), its answers this one.
    Registration,
}

impl Node {
    /// By the last part of an address.
    pub(super) fn of(address: &str) -> Option<Self> {
        match address.trim_end_matches('/').rsplit('/').next()? {
            "$cbs" => Some(Self::Cbs),
            "$management" => Some(Self::Management),
            _ => None,
        }
    }
}

/// A link on which the peer takes answers.
pub(super) struct Answers {
    pub(super) node: Node,
    /// The address by which requests name it.
    pub(super) reply_to: Option<String>,
    pub(super) waiting: Outbox,
}

/// A request, taken apart.
#[derive(Debug)]
pub(super) struct Request {
    message: Message,
}

/// What is answered: a status and its words, and a body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: i32,
    pub(super) description: String,
    pub(super) condition: Option<Symbol>,
    pub(super) body: Value,
}

impl Answer {
    /// All is well.
    pub(super) fn good(status: i32, description: &str, body: Value) -> Self {
        Self { status, description: description.to_owned(), condition: None, body }
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        Self {
            status: status_of(error.code),
            condition: Some(condition_of(error.code)),
            description: error.message,
            body: Value::Null,
        }
    }
}

impl Request {
    pub(super) const fn new(message: Message) -> Self {
        Self { message }
    }

    /// A text among the application properties.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.message.application_properties.get(name).and_then(Value::as_str)
    }

    /// The body, where it is a text.
    pub(super) fn body(&self) -> Option<&str> {
        match &self.message.body {
            Body::Value(value) => value.as_str(),
            Body::Data(pieces) if pieces.len() == 1 => std::str::from_utf8(pieces.first()?).ok(),
            _ => None,
        }
    }

    /// The address the answer is for.
    pub(super) fn reply_to(&self) -> Option<&str> {
        self.message.properties.as_ref()?.reply_to.as_deref()
    }

    /// The answer as a message: it bears the request's id as it came, with its type.
    pub(super) fn answer(&self, answer: Answer) -> Message {
        let mut application = ApplicationProperties::default();
        application.push("status-code", Value::Int(answer.status));
        application.push("statusCode", Value::Int(answer.status));
        application.push("status-description", answer.description.clone());
        application.push("statusDescription", answer.description);
        if let Some(condition) = answer.condition {
            application.push("error-condition", condition.clone());
            application.push("errorCondition", condition);
        }
        let asked = self.message.properties.as_ref();
        let id = asked.and_then(|asked| asked.message_id.clone().or_else(|| asked.correlation_id.clone()));
        Message {
            properties: Some(Properties { correlation_id: id, ..Properties::default() }),
            application_properties: application,
            body: Body::Value(answer.body),
            ..Message::default()
        }
    }
}

impl Connection {
    /// Looks into a request that came; the peer may send another.
    pub(super) fn request(&mut self, node: Node, link: LinkId, payload: Bytes) {
        self.endpoint.grant(link, CREDIT);
        let Ok(message) = Message::decode(payload) else {
            tracing::debug!("a request cannot be decoded: nobody to answer");
            return;
        };
        let (request, services) = (Box::new(Request::new(message)), Arc::clone(&self.edge.services));
        let host = self.host.clone();
        self.asked += 1;
        match node {
            Node::Cbs => self.work.push(Box::pin(async move {
                let put = cbs::put(&services, &host, &request).await.map(Box::new);
                Done::Claimed { request, put }
            })),
            Node::Registration => self.asked -= 1,
            Node::Management => {
                let claims: Vec<_> = self.claims.all().cloned().collect();
                self.work.push(Box::pin(async move {
                    let answer = management::answer(&services, &host, &claims, &request).await;
                    let reply_to = request.reply_to().map(str::to_owned);
                    Done::Answered { node, reply_to, message: Box::new(request.answer(answer)) }
                }));
            }
        }
    }

    /// Sends an answer: to the link that the request names, or the only one there is.
    pub(super) fn answer(&mut self, node: Node, reply_to: Option<&str>, message: &Message) {
        let of_node = |link: &Link| matches!(link, Link::Answers(answers) if answers.node == node);
        let named = |link: &Link| matches!(link, Link::Answers(answers) if answers.node == node && answers.reply_to.as_deref() == reply_to);
        let found = self.links.iter().find(|(_, link)| named(link));
        let found = found.or_else(|| self.links.iter().find(|(_, link)| of_node(link)));
        let Some(id) = found.map(|(id, _)| *id) else { return };
        if let Some(Link::Answers(answers)) = self.links.get_mut(&id)
            && let Err(error) = answers.waiting.put(message.encode(), WAITING)
        {
            self.detach(id, &error);
        }
        self.send_answers();
    }

    /// Sends the answers, and whatever else waits for credit, that there is credit for.
    pub(super) fn send_answers(&mut self) {
        for (id, link) in &mut self.links {
            if let Some(waiting) = link.outbox() {
                waiting.send(&mut self.endpoint, *id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pollux_amqp::MessageId;
    use pollux_model::ErrorCode;

    use super::*;

    #[test]
    fn nodes_are_known_by_the_end_of_their_address() {
        assert_eq!(Node::of("$cbs"), Some(Node::Cbs));
        assert_eq!(Node::of("amqps://localhost/hub1/$management"), Some(Node::Management));
        assert_eq!(Node::of("hub1"), None);
    }

    #[test]
    fn an_answer_bears_the_id_with_its_type() {
        let id = MessageId::Binary(vec![1, 2, 3].into());
        let asked =
            Properties { message_id: Some(id.clone()), reply_to: Some("me".into()), ..Properties::default() };
        let request = Request::new(Message { properties: Some(asked), ..Message::default() });
        assert_eq!(request.reply_to(), Some("me"));
        let answer = request.answer(Error::new(ErrorCode::Unauthorized, "no").into());
        assert_eq!(answer.properties.unwrap().correlation_id, Some(id));
        let said = answer.application_properties;
        assert_eq!(said.get("status-code"), Some(&Value::Int(401)));
        assert_eq!(
            said.get("errorCondition"),
            Some(&Value::Symbol(Symbol::from_static("amqp:unauthorized-access")))
        );
    }
}
