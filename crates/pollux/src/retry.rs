//! Requests that may be sent again: whoever has heard them already answers the same.

use std::time::Duration;

use pollux_client::rest::RestError;

/// How often a request is sent that nobody answered.
const ATTEMPTS: u32 = 8;
/// The pause before it is sent again.
const PAUSE: Duration = Duration::from_secs(1);

/// Sends until there is an answer, or none is to be hoped for.
pub(crate) async fn until_answered<T>(send: impl AsyncFn() -> Result<T, RestError>) -> Result<T, RestError> {
    let mut attempt = 1;
    loop {
        match send().await {
            Err(error) if attempt < ATTEMPTS && passes(&error) => {
                attempt += 1;
                tokio::time::sleep(PAUSE).await;
            }
            answered => return answered,
        }
    }
}

/// Whether trying again may help.
fn passes(error: &RestError) -> bool {
    match error {
        RestError::Transport { .. } => true,
        other => matches!(other.status(), Some(429 | 502 | 503 | 504)),
    }
}
