//! A client that costs little: one TLS connection, requests made beforehand, answers counted and not read. What the
//! generator costs is not what the server costs, but where both wait for each other it is in the latency.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A connection.
pub(super) struct Client {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
    /// Where the body of the last answer begins.
    body: usize,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr, tls: &Arc<ClientConfig>) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").context("a name")?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
        Ok(Self { stream, buffer: Vec::new(), body: 0 })
    }

    /// Asks, and waits for the whole answer.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        let (status, end) = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            let Some(head) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
                continue;
            };
            self.body = head + 4;
            let head = std::str::from_utf8(&self.buffer[..head])?;
            let status = head.split(' ').nth(1).context("no status")?.to_owned();
            let length = head.lines().filter_map(|line| line.split_once(": "));
            let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length: usize = length.map(|(_, length)| length).next().unwrap_or("0").trim().parse()?;
            break (status, self.body + length);
        };
        while self.buffer.len() < end {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
        }
        if !status.starts_with('2') {
            bail!("{status}: {}", String::from_utf8_lossy(&self.buffer[self.body..]));
        }
        Ok(&self.buffer[self.body..])
    }
}

/// A request as it goes over the wire.
pub(super) fn request(method: &str, path: &str, headers: &str, kind: &str, body: &str) -> Vec<u8> {
    let content = if body.is_empty() {
        String::new()
    } else {
        format!("content-type: {kind}\r\ncontent-length: {}\r\n", body.len())
    };
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}{content}\r\n{body}").into_bytes()
}
