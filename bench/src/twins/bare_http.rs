//! The limit: axum over rustls and nothing else, that answers with a document as long as a twin's.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::serve::Listener;
use futures_util::future::try_join_all;
use rustls::ClientConfig;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::client::{Client, request};
use super::samples::{Sample, ask_for};
use crate::{bare, process};

/// About what a twin of a device is.
const BODY: usize = 900;

/// Accepts connections and shakes hands, one after the other: there are few.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else { continue };
            if stream.set_nodelay(true).is_ok()
                && let Ok(stream) = self.acceptor.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Serves until killed; the first line of output says where, and what to trust.
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let acceptor = bare::begin(listener.local_addr()?, None)?;
    let document = json!({ "$dtId": "x".repeat(BODY) }).to_string();
    let answer = async move || ([(CONTENT_TYPE, "application/json; charset=utf-8")], document);
    let router = Router::new().route("/digitaltwins/{id}", get(answer));
    axum::serve(Tls { listener, acceptor }, router).await?;
    Ok(())
}

/// It as a process, pinned like the subject.
pub(super) struct Bare {
    child: Child,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Bare {
    pub(super) fn start() -> Result<Self> {
        let (child, address, ca) = bare::spawn(&["--bare-http"])?;
        Ok(Self { child, address, tls: pollux_client::tls::client_config(&ca)? })
    }

    /// As many answers as there is time for.
    pub(super) async fn ask(&self, clients: usize, duration: Duration) -> Result<Sample> {
        let connect = |_| Client::connect(self.address, &self.tls);
        let mut connections = try_join_all((0..clients).map(connect)).await?;
        let headers = format!("authorization: Bearer {}\r\n", "x".repeat(600));
        let ask = request("GET", "/digitaltwins/b000?api-version=2023-10-31", &headers, "", "");
        let cpu = process::cpu_seconds(self.child.id())?;
        let ask = async |client: &mut Client| client.ask(&ask).await.map(drop);
        let (took, seconds) = ask_for(duration, &mut connections, ask).await?;
        Ok(Sample::new(took, seconds, process::cpu_seconds(self.child.id())? - cpu, 1.0))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // Ended already: nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
