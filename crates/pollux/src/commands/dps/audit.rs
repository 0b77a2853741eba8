//! `pollux dps audit`: who was let in or refused, and who changed which entry.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use pollux_model::{Clock as _, SystemClock, Timestamp};
use serde_json::Value;

use super::Target;
use crate::output::Column;
use crate::retry::until_answered;
use crate::session::Session;

/// Records of one answer.
const PAGE: &str = "1000";
/// Between two looks for what is new.
const PAUSE: Duration = Duration::from_secs(1);

const COLUMNS: &[Column] = &[
    ("time", "/time"),
    ("action", "/action"),
    ("device", "/registrationId"),
    ("group", "/enrollmentGroupId"),
    ("decided by", "/decidedBy"),
    ("who", "/who"),
    ("address", "/address"),
    ("detail", "/detail"),
];

/// Who was let in or refused, by which entry, from where; who changed what
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux dps audit                                     the newest
  pollux dps audit --registration-id device-1 --since 30d
  pollux dps audit --follow                            what comes, as it comes

A record is there a moment after what it tells of. Records are kept for 90 days, up to 64 MiB of
them.")]
pub(crate) struct Audit {
    /// Only of this device
    #[arg(long, visible_alias = "rid")]
    registration_id: Option<String>,
    /// Only of this enrollment group
    #[arg(long, visible_alias = "group-id")]
    enrollment_id: Option<String>,
    /// Only from then on: a moment (2026-01-31T08:00:00Z), or how long ago (90s, 15m, 12h, 30d)
    #[arg(long)]
    since: Option<String>,
    /// Go on with what comes
    #[arg(long, short = 'f')]
    follow: bool,
    #[command(flatten)]
    target: Target,
}

/// Runs it.
pub(crate) async fn run(session: &Session, args: Audit) -> Result<()> {
    let rest = session.dps(args.target.dps_name.as_deref())?;
    let since = args.since.as_deref().map(|text| moment(text, SystemClock.now())).transpose()?;
    let (mut rows, mut after): (Vec<Value>, Option<i64>) = (Vec::new(), None);
    loop {
        let ask = async || {
            let mut request = rest.get("/audit").query("top", PAGE);
            let after = after.map(|after| after.to_string());
            for (name, value) in [
                ("registrationId", &args.registration_id),
                ("enrollmentGroupId", &args.enrollment_id),
                ("since", &since),
                ("after", &after),
            ] {
                if let Some(value) = value {
                    request = request.query(name, value);
                }
            }
            request.send().await
        };
        let mut page = until_answered(ask).await.context("cannot read the audit record")?.body;
        after = page["next"].as_i64();
        let found = page["value"].as_array_mut().map(std::mem::take).unwrap_or_default();
        if args.follow {
            found.iter().try_for_each(|row| session.output.event(row))?;
        } else {
            rows.extend(found);
        }
        if page["more"] == true {
            continue;
        }
        if !args.follow {
            return session.output.rows(rows, COLUMNS);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A moment as it is written, or so long ago.
fn moment(text: &str, now: Timestamp) -> Result<String> {
    if let Some(moment) = Timestamp::parse(text) {
        return Ok(moment.to_string());
    }
    let seconds = [("s", 1), ("m", 60), ("h", 3600), ("d", 24 * 3600)]
        .into_iter()
        .find_map(|(unit, seconds)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(seconds));
    let Some(seconds) = seconds.filter(|seconds| i64::try_from(*seconds).is_ok_and(|it| it < 10_000_000_000))
    else {
        bail!(
            "--since '{text}' is neither a moment (2026-01-31T08:00:00Z) nor a time ago (90s, 15m, 12h, 30d)"
        );
    };
    Ok(now.minus(Duration::from_secs(seconds)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_said_in_two_ways() {
        let now = Timestamp::from_secs(1_700_000_000);
        for (text, at) in
            [("90s", 1_699_999_910), ("2h", 1_699_992_800), ("2023-11-14T22:13:20Z", 1_700_000_000)]
        {
            assert_eq!(
                Timestamp::parse(&moment(text, now).unwrap()),
                Some(Timestamp::from_secs(at)),
                "{text}"
            );
        }
        for wrong in ["", "yesterday", "5w", "-1h", "99999999999999d"] {
            assert!(moment(wrong, now).is_err(), "{wrong}");
        }
    }
}
