//! Background work that a bug must not end in silence.

use std::future::Future;
use std::time::Duration;

/// How long a task rests after a panic.
const REST: Duration = Duration::from_secs(1);

/// Runs what `make` makes until it ends by itself; after a panic it is made anew. What such a task does is repeatable
/// by design: a crash of the process would repeat it too.
pub(crate) async fn supervise<F, W>(name: &'static str, make: F)
where
    F: Fn() -> W + Send,
    W: Future<Output = ()> + Send + 'static,
{
    resting(name, REST, make).await;
}

async fn resting<F, W>(name: &'static str, rest: Duration, make: F)
where
    F: Fn() -> W + Send,
    W: Future<Output = ()> + Send + 'static,
{
    loop {
        match tokio::spawn(make()).await {
            Err(error) if error.is_panic() => {
                tracing::error!(task = name, "a background task broke off by a bug; it begins anew");
                metrics::counter!("pollux_tasks_restarted_total", "task" => name).increment(1);
                tokio::time::sleep(rest).await;
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::resting;

    #[tokio::test]
    async fn a_task_that_panics_begins_anew_until_it_ends() {
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        let make = move || {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            async move { assert!(run >= 2, "breaks off twice") }
        };
        resting("test", Duration::ZERO, make).await;
        assert_eq!(runs.load(Ordering::SeqCst), 3);
    }
}
