//! Waiting for a condition, with a deadline.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until there is an answer; none when the time is over.
pub(super) async fn until<T>(patience: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < deadline {
        ticks.tick().await;
        if let Some(answer) = ask().await {
            return Some(answer);
        }
    }
    None
}
