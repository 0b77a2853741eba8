//! Every bound of a connection, with Event Hubs' sizes as defaults.

use std::time::Duration;

/// Bounds of one connection. Shared between connections behind an `Arc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest frame taken, in bytes; what our open says. Frames to the peer are bounded by its open as well.
    pub max_frame_size: u32,
    /// Longest SASL frame taken, in bytes. The standard says 512; tokens in PLAIN can be longer.
    pub max_sasl_frame_size: u32,
    /// Sessions the peer may begin, which makes our channel-max one less.
    pub max_sessions: u16,
    /// Links the peer may attach in one session, which makes our handle-max one less.
    pub max_links: u16,
    /// Longest name of a link, in bytes.
    pub max_link_name: usize,
    /// Longest message taken, in bytes, where a link does not say less.
    pub max_message_size: u64,
    /// Bytes of messages of which only a part has arrived, all links together.
    pub max_partial_bytes: usize,
    /// Deliveries of one link, in either direction, that are not settled.
    pub max_unsettled: usize,
    /// Transfers a session takes before it opens its window again.
    pub incoming_window: u32,
    /// Events that wait to be drained. At the bound nothing more is read.
    pub max_events: usize,
    /// Bytes of frames and payloads held by those events. At the bound nothing more is read.
    pub max_event_bytes: usize,
    /// Bytes of output that wait to be taken. At the bound nothing more is read, and nothing is sent.
    pub max_output: usize,
    /// Silence of the peer after which the connection is closed. Our open says half of it (part 2, section 2.4.5).
    pub idle_timeout: Option<Duration>,
    /// Shortest idle-time-out a peer may ask us to keep.
    pub min_peer_idle_timeout: Duration,
    /// Time from the start of the connection to the peer's open.
    pub open_timeout: Duration,
    /// Time from our close to the peer's.
    pub close_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame_size: 65_536,
            max_sasl_frame_size: 8192,
            max_sessions: 100,
            max_links: 256,
            max_link_name: 1024,
            max_message_size: 1024 * 1024,
            max_partial_bytes: 4 * 1024 * 1024,
            max_unsettled: 5000,
            incoming_window: 5000,
            max_events: 1024,
            max_event_bytes: 1024 * 1024,
            max_output: 1024 * 1024,
            idle_timeout: Some(Duration::from_secs(240)),
            min_peer_idle_timeout: Duration::from_secs(1),
            open_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
        }
    }
}
