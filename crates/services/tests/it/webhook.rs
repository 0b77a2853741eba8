//! A webhook on this machine: plain HTTP, answers as the test says, remembers what it was asked. It runs on a runtime of
//! its own, so that it outlives the runtime of a server that "crashes".

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use pollux_services::Services;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};

use crate::world::allocate;

/// What the webhook does when it is called.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Answers this.
    Answer(u16, String),
    /// Never answers.
    Hang,
    /// Closes the connection.
    HangUp,
    /// Does what the allocation function does.
    Allocate(Arc<Services>),
    /// Does what the allocation function does and then never answers.
    AllocateAndHang(Arc<Services>),
    /// Waits for a permit, then does what the allocation function does.
    AllocateWhen(Arc<Semaphore>, Arc<Services>),
}

/// The webhook.
pub(crate) struct Hook {
    pub(crate) url: String,
    behaviour: Arc<Mutex<Behaviour>>,
    calls: watch::Receiver<Vec<Value>>,
    runtime: Option<Runtime>,
}

impl Hook {
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/hook?code=secret", listener.local_addr().unwrap());
        let behaviour = Arc::new(Mutex::new(behaviour));
        let (said, calls) = watch::channel(Vec::new());
        let shared = Arc::clone(&behaviour);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared), said.clone()));
            }
        });
        Self { url, behaviour, calls, runtime: Some(runtime) }
    }

    pub(crate) fn set(&self, behaviour: Behaviour) {
        *self.behaviour.lock() = behaviour;
    }

    /// What it was asked so far.
    pub(crate) fn calls(&self) -> Vec<Value> {
        self.calls.borrow().clone()
    }

    /// Resolves when it was called so many times.
    pub(crate) async fn called(&self, times: usize) {
        self.calls.clone().wait_for(|calls| calls.len() >= times).await.unwrap();
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

async fn serve(mut stream: TcpStream, behaviour: Arc<Mutex<Behaviour>>, calls: watch::Sender<Vec<Value>>) {
    let Some(request) = read(&mut stream).await else { return };
    let now = behaviour.lock().clone();
    // What hangs is told after it did its work, everything else before.
    if !matches!(now, Behaviour::AllocateAndHang(_)) {
        calls.send_modify(|calls| calls.push(request.clone()));
    }
    let (status, body) = match now {
        Behaviour::Answer(status, body) => (status, body),
        Behaviour::Hang => return std::future::pending().await,
        Behaviour::HangUp => return,
        Behaviour::Allocate(services) => allocate(&services, &request).await,
        Behaviour::AllocateAndHang(services) => {
            let _ = allocate(&services, &request).await;
            drop(services);
            *behaviour.lock() = Behaviour::Hang;
            calls.send_modify(|calls| calls.push(request));
            return std::future::pending().await;
        }
        Behaviour::AllocateWhen(gate, services) => {
            gate.acquire().await.unwrap().forget();
            allocate(&services, &request).await
        }
    };
    let head =
        format!("HTTP/1.1 {status} Answer\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
}

/// The body of one request with a content-length.
async fn read(stream: &mut TcpStream) -> Option<Value> {
    let mut bytes = Vec::new();
    loop {
        let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(head_end) = head_end {
            let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
            let length: usize =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())?;
            if bytes.len() >= head_end + 4 + length {
                return serde_json::from_slice(&bytes[head_end + 4..]).ok();
            }
        }
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.ok()?;
        if read == 0 {
            return None;
        }
        bytes.extend_from_slice(&chunk[..read]);
    }
}
