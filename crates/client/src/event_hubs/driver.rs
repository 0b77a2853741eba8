//! The task behind a connection: socket, protocol machine, links.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pollux_amqp::endpoint::{
    Delivery, DeliveryId, Endpoint, Event, Limits, LinkId, LinkOptions, OpenOptions, Outgoing, SendError,
    SessionId,
};
use pollux_amqp::performative::{
    DeliveryState, Error as AmqpError, SenderSettleMode, Source, Target, condition,
};
use pollux_amqp::sasl::Credentials;
use pollux_amqp::{Described, Message, MessageId, Symbol, Value};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{EventHubsError, INCOMING};
use crate::ConnectionString;

const SELECTOR: &str = "apache.org:selector-filter:string";
const MANAGEMENT: &str = "$management";
/// Where answers are to be sent.
const REPLY_TO: &str = "answers";
const READ: usize = 64 * 1024;

type Incoming = mpsc::Sender<Result<Message, EventHubsError>>;
type Answer<T> = oneshot::Sender<Result<T, EventHubsError>>;

/// What the application wants.
#[derive(Debug)]
pub(super) enum Command {
    Send { address: String, format: u32, message: Bytes, reply: Answer<()> },
    Receive { address: String, selector: Option<String>, events: Incoming },
    Request { request: Box<Message>, reply: Answer<Message> },
    Close,
}

/// A link.
enum Link {
    Sender(Sender),
    Receiver {
        events: Incoming,
        /// Whether `taken` will tell when there is room.
        waits: bool,
    },
    Answers,
}

/// A message that waits for credit, with its format.
type Waiting = (u32, Bytes, Option<Answer<()>>);

/// A link that sends, with what waits for credit and what waits to be accepted.
#[derive(Default)]
struct Sender {
    attached: bool,
    waiting: VecDeque<Waiting>,
    sent: HashMap<DeliveryId, Option<Answer<()>>>,
    tag: u64,
}

pub(super) struct Driver {
    endpoint: Endpoint,
    commands: mpsc::Receiver<Command>,
    ready: Option<Answer<()>>,
    session: Option<SessionId>,
    links: HashMap<LinkId, Link>,
    /// Links that send, by address.
    senders: HashMap<String, LinkId>,
    /// Ends when the application has taken half of what a link brought that may bring no more until then.
    taken: JoinSet<LinkId>,
    requests: HashMap<u64, Answer<Message>>,
    next_request: u64,
    names: u64,
    authenticated: bool,
}

impl Driver {
    pub(super) fn new(
        policy: &ConnectionString,
        host: &str,
        commands: mpsc::Receiver<Command>,
        ready: Answer<()>,
    ) -> Self {
        let credentials = Credentials::Plain {
            user: policy.key_name.clone().unwrap_or_default(),
            password: policy.key.clone().unwrap_or_default(),
        };
        let limits = Arc::new(Limits::default());
        let host = Some(host.to_owned());
        let mut endpoint =
            Endpoint::client(limits, Some(credentials), host.clone(), Instant::now().into_std());
        let container_id = format!("pollux-{}", std::process::id());
        endpoint.open(OpenOptions { container_id, hostname: host, ..OpenOptions::default() });
        Self {
            endpoint,
            commands,
            ready: Some(ready),
            session: None,
            links: HashMap::new(),
            senders: HashMap::new(),
            taken: JoinSet::new(),
            requests: HashMap::new(),
            next_request: 0,
            names: 0,
            authenticated: false,
        }
    }

    pub(super) async fn run(mut self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let why = match self.serve(stream).await {
            Ok(()) => EventHubsError::Gone("it was closed".to_owned()),
            Err(error) => EventHubsError::Gone(error.to_string()),
        };
        if let Some(ready) = self.ready.take() {
            let refused = if self.authenticated { why.clone() } else { EventHubsError::Refused };
            let _ = ready.send(Err(refused));
        }
        for link in std::mem::take(&mut self.links).into_values() {
            end(link, &why);
        }
    }

    async fn serve(&mut self, stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut input = BytesMut::new();
        loop {
            self.endpoint.receive(&mut input, Instant::now().into_std());
            while let Some(event) = self.endpoint.next_event() {
                self.event(event);
            }
            self.pump();
            self.ask_for_more();
            while let Some(output) = self.endpoint.take_output() {
                writer.write_all(&output).await?;
                writer.flush().await?;
            }
            if self.endpoint.is_closed() {
                return writer.shutdown().await;
            }
            let deadline = self.endpoint.next_deadline().map(Instant::from_std);
            let due = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            input.reserve(READ);
            tokio::select! {
                read = reader.read_buf(&mut input), if self.endpoint.wants_read() => if read? == 0 { return Ok(()) },
                command = self.commands.recv(), if self.session.is_some() => {
                    self.command(command.unwrap_or(Command::Close));
                }
                Some(Ok(link)) = self.taken.join_next(), if !self.taken.is_empty() => {
                    if let Some(Link::Receiver { waits, .. }) = self.links.get_mut(&link) {
                        *waits = false;
                    }
                }
                () = due => {
                    self.endpoint.tick(Instant::now().into_std());
                }
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Opened(_) => {
                self.authenticated = true;
                // Only a server that allows no session at all refuses this; it is told when the connection ends.
                let _ = self.endpoint.begin_session();
            }
            Event::SessionBegun(session) => {
                self.session = Some(session);
                if let Some(ready) = self.ready.take() {
                    let _ = ready.send(Ok(()));
                }
            }
            Event::Attached(attached) => match self.links.get_mut(&attached.link) {
                Some(Link::Sender(sender)) => sender.attached = true,
                Some(Link::Receiver { .. } | Link::Answers) => {
                    self.endpoint.grant(attached.link, INCOMING);
                }
                None => {}
            },
            Event::Delivery(delivery) => self.delivered(delivery),
            Event::Settled { link, first, last, state, waits } => {
                if waits {
                    self.endpoint.confirm(link, (first, last), state.clone());
                }
                self.settled(link, first, last, state.as_ref());
            }
            Event::Detached { link, error, .. } => {
                let error =
                    error.unwrap_or_else(|| AmqpError::new(condition::LINK_DETACH_FORCED, "it was detached"));
                self.senders.retain(|_, id| *id != link);
                if let Some(link) = self.links.remove(&link) {
                    end(link, &EventHubsError::Said(error));
                }
            }
            Event::SessionEnded { error, .. } | Event::Closed { error, .. } => {
                let why = error
                    .map_or_else(|| EventHubsError::Gone("it was closed".to_owned()), EventHubsError::Said);
                self.session = None;
                for link in std::mem::take(&mut self.links).into_values() {
                    end(link, &why);
                }
            }
            // Credit is looked at in `pump`; a server asks for nothing.
            _ => {}
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Close => self.endpoint.close(None, Instant::now().into_std()),
            Command::Send { address, format, message, reply } => {
                self.queue(&address, format, message, Some(reply));
            }
            Command::Receive { address, selector, events } => {
                let mut source = Source::at(address);
                if let Some(selector) = selector {
                    let described = Described {
                        descriptor: Value::Symbol(Symbol::from_static(SELECTOR)),
                        value: Value::from(selector),
                    };
                    source.filter.push(Symbol::from_static(SELECTOR), Value::Described(Box::new(described)));
                }
                match self.attach_receiver(source, "events") {
                    Some(link) => drop(self.links.insert(link, Link::Receiver { events, waits: false })),
                    None => drop(events.try_send(Err(EventHubsError::Gone("no more links".to_owned())))),
                }
            }
            Command::Request { request, reply } => self.request(*request, reply),
        }
    }

    fn request(&mut self, mut request: Message, reply: Answer<Message>) {
        if !self.links.values().any(|link| matches!(link, Link::Answers)) {
            let Some(link) = self.attach_receiver(Source::at(MANAGEMENT), REPLY_TO) else { return };
            self.links.insert(link, Link::Answers);
        }
        let id = self.next_request;
        self.next_request += 1;
        let properties = request.properties.get_or_insert_default();
        properties.message_id = Some(MessageId::Ulong(id));
        properties.reply_to = Some(REPLY_TO.to_owned());
        self.requests.insert(id, reply);
        self.queue(MANAGEMENT, 0, request.encode(), None);
    }

    fn attach_receiver(&mut self, source: Source, target: &str) -> Option<LinkId> {
        let options =
            LinkOptions { source: Some(source), target: Some(Target::at(target)), ..LinkOptions::default() };
        let name = self.name();
        self.endpoint.attach_receiver(self.session?, &name, options).ok()
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("link-{}", self.names)
    }

    fn queue(&mut self, address: &str, format: u32, message: Bytes, reply: Option<Answer<()>>) {
        let known = self.senders.get(address).copied();
        let link = known.or_else(|| {
            let options = LinkOptions {
                source: Some(Source::at("events")),
                target: Some(Target::at(address)),
                snd_settle_mode: SenderSettleMode::Unsettled,
                ..LinkOptions::default()
            };
            let name = self.name();
            let link = self.endpoint.attach_sender(self.session?, &name, options).ok()?;
            self.links.insert(link, Link::Sender(Sender::default()));
            self.senders.insert(address.to_owned(), link);
            Some(link)
        });
        match link.and_then(|link| self.links.get_mut(&link)) {
            Some(Link::Sender(sender)) => sender.waiting.push_back((format, message, reply)),
            _ => {
                if let Some(reply) = reply {
                    let _ = reply.send(Err(EventHubsError::Gone("no more links".to_owned())));
                }
            }
        }
    }

    /// Sends what there is credit for.
    fn pump(&mut self) {
        for (id, link) in &mut self.links {
            let Link::Sender(sender) = link else { continue };
            while sender.attached
                && let Some((format, message, _)) = sender.waiting.front()
            {
                let tag = sender.tag.to_be_bytes();
                let outgoing =
                    Outgoing { tag: &tag, message_format: *format, payload: message.clone(), settled: false };
                match self.endpoint.send(*id, outgoing) {
                    Ok(delivery) => {
                        sender.tag += 1;
                        let reply = sender.waiting.pop_front().and_then(|(.., reply)| reply);
                        sender.sent.insert(delivery, reply);
                    }
                    Err(SendError::TooLarge(most)) => {
                        let text = format!("the message is longer than the {most} bytes that are taken");
                        let error = AmqpError::new(condition::LINK_MESSAGE_SIZE_EXCEEDED, text);
                        if let Some(reply) = sender.waiting.pop_front().and_then(|(.., reply)| reply) {
                            let _ = reply.send(Err(EventHubsError::Said(error)));
                        }
                    }
                    Err(_) => break,
                }
            }
        }
    }

    fn settled(&mut self, link: LinkId, first: DeliveryId, last: DeliveryId, state: Option<&DeliveryState>) {
        let Some(Link::Sender(sender)) = self.links.get_mut(&link) else { return };
        let mut at = first;
        loop {
            if let Some(Some(reply)) = sender.sent.remove(&at) {
                let _ = reply.send(outcome(state));
            }
            if at == last {
                break;
            }
            at = at.plus(1);
        }
    }

    fn delivered(&mut self, delivery: Delivery) {
        let link = delivery.link;
        if !delivery.settled {
            self.endpoint.settle(link, delivery.id, DeliveryState::Accepted);
        }
        let message = Message::decode(delivery.payload);
        match self.links.get(&link) {
            Some(Link::Answers) => {
                let answer = message.ok();
                let id =
                    answer.as_ref().and_then(|answer| answer.properties.as_ref()?.correlation_id.clone());
                if let (Some(MessageId::Ulong(id)), Some(answer)) = (id, answer)
                    && let Some(reply) = self.requests.remove(&id)
                {
                    let _ = reply.send(Ok(answer));
                }
                self.endpoint.grant(link, INCOMING);
            }
            Some(Link::Receiver { events, .. }) => {
                let event = message.map_err(|error| EventHubsError::Answer(error.to_string()));
                // There is room: no more are asked for than fit.
                if events.try_send(event).is_err() {
                    self.endpoint.detach(link, None);
                    self.links.remove(&link);
                }
            }
            _ => {}
        }
    }

    /// Asks for as many events as the application has room for, now or when it has. Called when all that came is handed
    /// over: until then a link's credit says less than what is on its way to the application.
    fn ask_for_more(&mut self) {
        let mut unheard = Vec::new();
        for (id, link) in &mut self.links {
            let Link::Receiver { events, waits } = link else { continue };
            if events.is_closed() {
                unheard.push(*id);
                continue;
            }
            // Who waits for room holds what there is of it already.
            if *waits {
                continue;
            }
            let credit = self.endpoint.credit(*id);
            let room = u32::try_from(events.capacity()).unwrap_or(INCOMING);
            if credit < INCOMING / 2 && room > credit {
                self.endpoint.grant(*id, room);
            } else if credit == 0 {
                *waits = true;
                let (events, id) = (events.clone(), *id);
                self.taken.spawn(async move {
                    // Only to know when there is room, or nobody who takes anything.
                    let _ = events.reserve_many(INCOMING as usize / 2).await;
                    id
                });
            }
        }
        for link in unheard {
            self.endpoint.detach(link, None);
            self.links.remove(&link);
        }
    }
}

fn outcome(state: Option<&DeliveryState>) -> Result<(), EventHubsError> {
    let refused = |text: &str| Err(EventHubsError::Said(AmqpError::new(condition::INTERNAL_ERROR, text)));
    match state {
        Some(DeliveryState::Accepted) => Ok(()),
        Some(DeliveryState::Rejected(Some(error))) => Err(EventHubsError::Said(AmqpError::clone(error))),
        Some(DeliveryState::Rejected(None)) => refused("the message was rejected"),
        _ => refused("the message was given back"),
    }
}

/// Tells whoever waits on a link that nothing more comes.
fn end(link: Link, why: &EventHubsError) {
    match link {
        Link::Sender(sender) => {
            let waiting = sender.waiting.into_iter().filter_map(|(.., reply)| reply);
            for reply in waiting.chain(sender.sent.into_values().flatten()) {
                let _ = reply.send(Err(why.clone()));
            }
        }
        Link::Receiver { events, .. } => drop(events.try_send(Err(why.clone()))),
        Link::Answers => {}
    }
}
