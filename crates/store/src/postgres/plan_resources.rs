//! What goes with a resource: every row of its instance in every table. Outbox entries stay, they tell of what happened.

use pollux_model::ResourceName;
use pollux_model::resource::ResourceKind;

use super::plan::{Steps, Wants};

/// Twins before their relationships, devices before their modules: that waits for whoever relates to them now, and whoever comes later finds none.
pub(super) fn delete_instance<'a>(steps: &mut Steps<'a, '_>, kind: ResourceKind, name: &'a ResourceName) {
    let tables: &[&str] = match kind {
        ResourceKind::Dps => &[
            "DELETE FROM enrollments WHERE dps = $1",
            "DELETE FROM enrollment_groups WHERE dps = $1",
            "DELETE FROM registrations WHERE dps = $1",
        ],
        ResourceKind::Hub => &[
            "DELETE FROM devices WHERE hub = $1",
            "DELETE FROM queued_messages WHERE hub = $1",
            "DELETE FROM mqtt_sessions WHERE hub = $1",
            "DELETE FROM device_activity WHERE hub = $1",
            "DELETE FROM modules WHERE hub = $1",
            "DELETE FROM configurations WHERE hub = $1",
            "DELETE FROM scheduled_jobs WHERE hub = $1",
            "DELETE FROM device_jobs WHERE hub = $1",
            "DELETE FROM jobs WHERE twins = $1 AND kind = 'registry'",
            // What it keeps of its own streams: it owns them as `OwnerName::of_hub`.
            "DELETE FROM checkpoints WHERE namespace = $1::text || '.hub'",
            "DELETE FROM dead_letters WHERE app = $1::text || '.hub'",
        ],
        ResourceKind::Events => &["DELETE FROM checkpoints WHERE namespace = $1"],
        ResourceKind::Twins => &[
            "DELETE FROM digital_twins WHERE twins = $1",
            "DELETE FROM relationships WHERE twins = $1",
            "DELETE FROM models WHERE twins = $1",
            "DELETE FROM twin_history WHERE twins = $1",
            "DELETE FROM jobs WHERE twins = $1 AND kind <> 'registry'",
            // As `OwnerName::of_twins`.
            "DELETE FROM checkpoints WHERE namespace = $1::text || '.twins'",
            "DELETE FROM dead_letters WHERE app = $1::text || '.twins'",
        ],
        ResourceKind::Functions => &[
            "DELETE FROM dead_letters WHERE app = $1",
            // An app of the same name made later must not start in the middle.
            "DELETE FROM checkpoints WHERE starts_with(owner, 'functions/' || $1::text || '/')",
        ],
    };
    for sql in tables {
        steps.add(sql, vec![Box::new(name.as_str())], Wants::Anything);
    }
}
