//! [`Flow`], [`Transfer`] and [`Disposition`] (part 2, sections 2.7.4 to 2.7.6).

use bytes::Bytes;

use super::{DeliveryState, ReceiverSettleMode, Role};
use crate::composite::{Composite, FieldError, Fields, Reader, Writer};

/// The state of a session and, with a handle, of a link.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flow {
    /// The transfer-id the sender expects next; `None` before it has seen the peer's begin.
    pub next_incoming_id: Option<u32>,
    /// How many transfers it takes from there.
    pub incoming_window: u32,
    /// The transfer-id it will send next.
    pub next_outgoing_id: u32,
    /// How many transfers it can send from there.
    pub outgoing_window: u32,
    /// The link, if this is about one.
    pub handle: Option<u32>,
    /// Deliveries so far, by the sending end's count.
    pub delivery_count: Option<u32>,
    /// Deliveries the receiving end takes from that count on.
    pub link_credit: Option<u32>,
    /// Messages that wait at the sending end.
    pub available: Option<u32>,
    /// Asks the sending end to use up the credit or give it back.
    pub drain: bool,
    /// Asks for a flow in answer.
    pub echo: bool,
    /// Anything else.
    pub properties: Fields,
}

impl Composite for Flow {
    const NAME: &'static str = "flow";
    const CODE: u64 = 0x13;
    const FIELDS: usize = 11;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            next_incoming_id: fields.optional("next-incoming-id")?,
            incoming_window: fields.required("incoming-window")?,
            next_outgoing_id: fields.required("next-outgoing-id")?,
            outgoing_window: fields.required("outgoing-window")?,
            handle: fields.optional("handle")?,
            delivery_count: fields.optional("delivery-count")?,
            link_credit: fields.optional("link-credit")?,
            available: fields.optional("available")?,
            drain: fields.or_default("drain")?,
            echo: fields.or_default("echo")?,
            properties: fields.or_default("properties")?,
        })
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.optional(self.next_incoming_id.as_ref());
        fields.put(&self.incoming_window);
        fields.put(&self.next_outgoing_id);
        fields.put(&self.outgoing_window);
        fields.optional(self.handle.as_ref());
        fields.optional(self.delivery_count.as_ref());
        fields.optional(self.link_credit.as_ref());
        fields.optional(self.available.as_ref());
        fields.put(&self.drain);
        fields.put(&self.echo);
        fields.put(&self.properties);
    }
}

/// A message, or a part of one. The payload comes behind it in the frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transfer {
    /// The link.
    pub handle: u32,
    /// The delivery's number in its session. Required in the first transfer of a delivery.
    pub delivery_id: Option<u32>,
    /// The sender's name for the delivery, at most 32 bytes. Required in the first transfer of a delivery.
    pub delivery_tag: Option<Bytes>,
    /// How the payload is built; 0 for a message, 0x80013700 for Event Hubs' batch.
    pub message_format: Option<u32>,
    /// Whether the sender will hear no more of it; `None`: as in an earlier transfer of the delivery, else false.
    pub settled: Option<bool>,
    /// Whether more of it comes.
    pub more: bool,
    /// Overrides the link's for this delivery.
    pub rcv_settle_mode: Option<ReceiverSettleMode>,
    /// What the sender knows of its state.
    pub state: Option<DeliveryState>,
    /// Takes up an earlier delivery, which is not done here.
    pub resume: bool,
    /// Takes back what was sent of it.
    pub aborted: bool,
    /// Allows the receiver to take its time.
    pub batchable: bool,
}

impl Composite for Transfer {
    const NAME: &'static str = "transfer";
    const CODE: u64 = 0x14;
    const FIELDS: usize = 11;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            handle: fields.required("handle")?,
            delivery_id: fields.optional("delivery-id")?,
            delivery_tag: fields.optional("delivery-tag")?,
            message_format: fields.optional("message-format")?,
            settled: fields.optional("settled")?,
            more: fields.or_default("more")?,
            rcv_settle_mode: fields.optional("rcv-settle-mode")?,
            state: fields.optional("state")?,
            resume: fields.or_default("resume")?,
            aborted: fields.or_default("aborted")?,
            batchable: fields.or_default("batchable")?,
        })
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.put(&self.handle);
        fields.optional(self.delivery_id.as_ref());
        fields.optional(self.delivery_tag.as_ref());
        fields.optional(self.message_format.as_ref());
        fields.optional(self.settled.as_ref());
        fields.put(&self.more);
        fields.optional(self.rcv_settle_mode.as_ref());
        fields.optional(self.state.as_ref());
        fields.put(&self.resume);
        fields.put(&self.aborted);
        fields.put(&self.batchable);
    }
}

/// The state of one delivery or of several in a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Disposition {
    /// What the sender of this frame is on the links of these deliveries.
    pub role: Role,
    /// The first delivery-id.
    pub first: u32,
    /// The last delivery-id; `None`: the first only.
    pub last: Option<u32>,
    /// Whether the sender forgets them with this.
    pub settled: bool,
    /// Their state.
    pub state: Option<DeliveryState>,
    /// Allows the receiver to take its time.
    pub batchable: bool,
}

impl Composite for Disposition {
    const NAME: &'static str = "disposition";
    const CODE: u64 = 0x15;
    const FIELDS: usize = 6;

    fn read(fields: &mut Reader<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            role: fields.required("role")?,
            first: fields.required("first")?,
            last: fields.optional("last")?,
            settled: fields.or_default("settled")?,
            state: fields.optional("state")?,
            batchable: fields.or_default("batchable")?,
        })
    }

    fn write(&self, fields: &mut Writer<'_>) {
        fields.put(&self.role);
        fields.put(&self.first);
        fields.optional(self.last.as_ref());
        fields.put(&self.settled);
        fields.optional(self.state.as_ref());
        fields.put(&self.batchable);
    }
}
