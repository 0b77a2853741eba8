//! Every bound of a connection, with Azure's sizes as defaults.

use std::time::Duration;

/// Bounds of one connection. Shared between connections behind an `Arc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest packet taken, in bytes with its fixed header, after the CONNECT. Also the longest packet sent.
    /// IoT Hub takes messages of 256 KiB; the topic, which carries the property bag, comes on top.
    pub max_packet: usize,
    /// Longest CONNECT taken, in bytes. Smaller than `max_packet`: nobody has proved who he is yet.
    pub max_connect: usize,
    /// Longest topic name or topic filter, in bytes of UTF-8.
    pub max_topic: usize,
    /// Most filters in one SUBSCRIBE or UNSUBSCRIBE.
    pub max_filters: usize,
    /// Requests of the client (QoS 1 PUBLISH, SUBSCRIBE, UNSUBSCRIBE) that wait for an answer of ours, and events that
    /// wait to be polled. At the bound the machine stops reading.
    pub max_inflight_in: usize,
    /// Bytes (topic and payload) of the messages among those. At the bound the machine stops reading; the message that
    /// crosses it is still taken.
    pub max_inflight_in_bytes: usize,
    /// QoS 1 messages sent to the client and not yet acknowledged. More wait in the queue.
    pub max_inflight_out: usize,
    /// Bytes that wait for the client: unacknowledged and queued messages and the unsent output.
    pub max_queued_out_bytes: usize,
    /// Time from the start of the connection to a complete CONNECT.
    pub connect_timeout: Duration,
    /// Longest silence of a client, whatever keep-alive it asked for (also when it asked for none). The hub article,
    /// "Default keep-alive timeout": 1767 seconds.
    pub max_silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_packet: 256 * 1024 + 64 * 1024,
            max_connect: 16 * 1024,
            max_topic: 65_535,
            max_filters: 32,
            max_inflight_in: 256,
            max_inflight_in_bytes: 1024 * 1024,
            max_inflight_out: 16,
            max_queued_out_bytes: 1024 * 1024,
            connect_timeout: Duration::from_secs(30),
            max_silence: Duration::from_secs(1767),
        }
    }
}
