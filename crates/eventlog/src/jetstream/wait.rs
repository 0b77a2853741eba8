//! Waiting for records: appends of this node wake its waiters directly; other nodes send a notice after an append,
//! to which a node listens while somebody waits. A lost notice costs a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::names::Place;
use super::partition::{FEW, Partition};
use crate::log::LogError;

/// How often a partition that somebody waits for is looked at without a notice.
const LOOK: Duration = Duration::from_secs(1);
/// Looks without a waiter after which listening ends: a consumer waits again and again.
const IDLE_LOOKS: u32 = 5;

/// Who waits, and whether a task listens for them.
#[derive(Debug, Default)]
pub(crate) struct Following {
    waiters: AtomicUsize,
    listening: AtomicBool,
}

impl Following {
    /// Whether somebody waits for records, or did a moment ago.
    pub(crate) fn waited_for(&self) -> bool {
        self.listening.load(Ordering::SeqCst)
    }
}

/// Counts a waiter while it is there.
struct Waiter<'a>(&'a Following);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Partition {
    /// See [`crate::EventLog::wait`].
    pub(crate) async fn wait(self: &Arc<Self>, after_sequence: i64) -> Result<(), LogError> {
        let since = Instant::now();
        let (life, _) = self.place().await?;
        let mut signal = self.signal.subscribe();
        self.following.waiters.fetch_add(1, Ordering::SeqCst);
        let _waiter = Waiter(&self.following);
        self.listen();
        let now = *signal.borrow_and_update();
        if now.life == life && now.last <= after_sequence {
            self.fresh(since, self.shared.wire.deadline()).await?;
        }
        let seen = signal
            .wait_for(|signal| signal.life != life || signal.last > after_sequence)
            .await
            .map(|signal| signal.life);
        match seen {
            Ok(seen) if seen == life => Ok(()),
            Ok(_) => Err(LogError::UnknownStream(self.stream.clone())),
            Err(_) => Err(LogError::Unavailable("the log is closed".to_owned())),
        }
    }

    /// Starts the task that listens, if there is none.
    fn listen(self: &Arc<Self>) {
        if !self.following.listening.swap(true, Ordering::SeqCst) {
            tokio::spawn(Arc::clone(self).follow());
        }
    }

    async fn follow(self: Arc<Self>) {
        let mut heard: Option<(Arc<Place>, Subscriber)> = None;
        let mut idle = 0;
        while idle < IDLE_LOOKS {
            let waited_for = self.following.waiters.load(Ordering::SeqCst) > 0;
            idle = if waited_for { 0 } else { idle + 1 };
            // A stream that is gone ends the waits by itself; an outage is waited out.
            if let Ok((_, place)) = self.place().await
                && heard.as_ref().is_none_or(|(of, _)| *of != place)
            {
                heard = match self.shared.wire.client.subscribe(place.notice.clone()).await {
                    Ok(notices) => Some((place, notices)),
                    Err(_) => None,
                };
            }
            if waited_for {
                drop(self.fresh(Instant::now(), self.shared.wire.deadline()).await);
            }
            self.take_notices(heard.as_mut().map(|(_, notices)| notices)).await;
        }
        self.following.listening.store(false, Ordering::SeqCst);
        if self.following.waiters.load(Ordering::SeqCst) > 0 {
            self.listen();
        }
    }

    /// Takes in what other nodes tell, until it is time to look without being told.
    async fn take_notices(&self, notices: Option<&mut Subscriber>) {
        let until = Instant::now() + LOOK;
        let Some(notices) = notices else { return tokio::time::sleep_until(until).await };
        while let Ok(notice) = tokio::time::timeout_at(until, notices.next()).await {
            let Some(notice) = notice else { return tokio::time::sleep_until(until).await };
            let told = std::str::from_utf8(&notice.payload).ok().and_then(|text| text.parse::<u64>().ok());
            let news = {
                let view = self.view.lock();
                view.known.as_ref().is_none_or(|known| told.is_none_or(|js| js > known.last))
            };
            let read = match told {
                Some(js) if news => self.read_up_to(js).await,
                _ => !news,
            };
            if !read {
                drop(self.fresh(Instant::now(), self.shared.wire.deadline()).await);
            }
        }
    }

    /// Reads the frames up to this one, which another node says it has stored: that spares the question what there is.
    /// False: they are not there, or too many.
    async fn read_up_to(&self, js: u64) -> bool {
        let Ok((life, place)) = self.place().await else { return false };
        let known =
            self.view.lock().known.as_ref().filter(|known| known.life == life).map(|known| known.last);
        let Some(known) = known.filter(|known| js.saturating_sub(*known) <= FEW) else { return false };
        let deadline = self.shared.wire.deadline();
        let missing = (known + 1..=js).map(|js| self.frame(life, &place, js, deadline));
        let mut read = true;
        for frame in join_all(missing).await {
            match frame {
                // Without a gap: readers go on from frame to frame.
                Ok(frame) if read => self.stored(life, &frame),
                _ => read = false,
            }
        }
        read
    }

    /// Tells other nodes that there is a frame `js`. Lost where the connection is busy: they look by themselves.
    pub(crate) fn notify(&self, place: &Place, js: u64) {
        let told = Bytes::from(js.to_string());
        drop(self.shared.wire.client.publish(place.notice.clone(), told).now_or_never());
    }

    /// Tells other nodes to look at the partition again.
    pub(crate) fn notify_trimmed(&self, place: &Place) {
        drop(self.shared.wire.client.publish(place.notice.clone(), Bytes::new()).now_or_never());
    }

    /// The catalog says something new of the stream: looks whether it is still the same.
    pub(crate) async fn check(&self) {
        drop(self.place().await);
    }
}
