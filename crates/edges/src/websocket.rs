//! Protocols in WebSockets (RFC 6455): the upgrade of an HTTP request, and the socket as a stream of bytes.
//!
//! The bytes of the protocol inside are cut into messages anyhow: message borders mean nothing (OASIS "AMQP WebSocket
//! Binding", section 2.4).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

/// The longest message taken, in bytes: clients put a frame or a few into one.
const LONGEST: usize = 1024 * 1024;
/// Bytes gathered before they are written.
const GATHERED: usize = 64 * 1024;

/// The answer that turns an HTTP connection into a WebSocket and the protocol that is spoken in it, or the refusal.
/// `protocols`: of which the client must offer one.
pub(crate) fn accept<B>(
    request: &Request<B>,
    protocols: &[&'static str],
) -> Result<(&'static str, Response), Box<Response>> {
    let headers = request.headers();
    let asks = has(headers, UPGRADE, "websocket") && has(headers, CONNECTION, "upgrade");
    if request.method() != Method::GET || !asks {
        return Err(refusal(
            StatusCode::UPGRADE_REQUIRED,
            "ask for a WebSocket: GET with Upgrade: websocket",
        ));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(refusal(StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13"));
    }
    let offered = protocols.iter().find(|protocol| has(headers, SEC_WEBSOCKET_PROTOCOL, protocol));
    let Some(protocol) = offered.copied() else {
        let text = format!("Sec-WebSocket-Protocol must offer {}", protocols.join(" or "));
        return Err(refusal(StatusCode::BAD_REQUEST, &text));
    };
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY) else {
        return Err(refusal(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing"));
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let said = response.headers_mut();
    said.insert(UPGRADE, HeaderValue::from_static("websocket"));
    said.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    said.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    if let Ok(accepted) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) {
        said.insert(SEC_WEBSOCKET_ACCEPT, accepted);
    }
    Ok((protocol, response))
}

/// Whether a header's list has a word, without regard to case.
fn has(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let lists = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
}

fn refusal(status: StatusCode, text: &str) -> Box<Response> {
    let mut response = Response::new(Body::from(format!("{text}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    if status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    Box::new(response)
}

/// A WebSocket as a stream of bytes, the server's end.
#[derive(Debug)]
pub(crate) struct Socket<S> {
    inner: WebSocketStream<S>,
    /// What is left of the message that was read last.
    rest: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Over a connection that was upgraded.
    pub(crate) async fn new(stream: S) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(Some(LONGEST))
            .max_frame_size(Some(LONGEST))
            .max_write_buffer_size(GATHERED * 4)
            .write_buffer_size(GATHERED);
        let inner = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        Self { inner, rest: Bytes::new() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                // The library answers pings and closes itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a text message")));
                }
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(ended(error)),
            }
        }
        let count = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Err(error) = ready!(Pin::new(&mut self.inner).poll_ready(cx)) {
            return Poll::Ready(Err(failed(error)));
        }
        let count = bytes.len().min(GATHERED);
        let message = Message::Binary(Bytes::copy_from_slice(&bytes[..count]));
        Poll::Ready(Pin::new(&mut self.inner).start_send(message).map(|()| count).map_err(failed))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx).map_err(failed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match ready!(Pin::new(&mut self.inner).poll_close(cx)) {
            Ok(()) => Ok(()),
            Err(error) => ended(error),
        })
    }
}

/// An end that was to be expected is none of the reader's errors.
fn ended(error: WebSocketError) -> io::Result<()> {
    match error {
        WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed => Ok(()),
        error => Err(failed(error)),
    }
}

fn failed(error: WebSocketError) -> io::Error {
    match error {
        WebSocketError::Io(error) => error,
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::get("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    const GOOD: [(&str, &str); 5] = [
        ("upgrade", "websocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "chat, AMQPWSB10"),
    ];

    #[test]
    fn accepts_as_rfc_6455_says() {
        let (protocol, response) = accept(&request(&GOOD), &["mqtt", "AMQPWSB10"]).unwrap();
        assert_eq!(protocol, "AMQPWSB10");
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "AMQPWSB10");
    }

    #[test]
    fn refuses_what_is_missing_or_another() {
        for (left_out, _) in GOOD {
            let headers: Vec<_> = GOOD.into_iter().filter(|(name, _)| *name != left_out).collect();
            let refused = accept(&request(&headers), &["AMQPWSB10"]).unwrap_err();
            assert!(refused.status().is_client_error(), "without {left_out}");
        }
        assert!(accept(&request(&GOOD), &["mqtt"]).is_err());
    }
}
