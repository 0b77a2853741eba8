//! The trace that a request is part of (W3C "Trace Context", level 2), so that what is told of it is part of it too.

use pollux_model::Random;

/// The longest `tracestate` that is passed on: what the recommendation asks for at least.
const LONGEST_STATE: usize = 512;
/// The flags that are to be handed on as they came: sampled, and that the trace id is random.
const FLAGS: u8 = 0b11;

/// Where a request stands in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// 32 hexadecimal digits.
    id: String,
    flags: u8,
    /// What vendors say of it, as it came.
    pub(crate) state: Option<String>,
}

impl Trace {
    /// Reads the headers `traceparent` and `tracestate`; `None` where the first is malformed, for then a trace begins anew.
    #[must_use]
    pub fn read(parent: &str, state: Option<&str>) -> Option<Self> {
        let mut fields = parent.split('-');
        let mut field = |length: usize| fields.next().filter(|text| text.len() == length && is_hex(text));
        let (version, id, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        // Later versions may have more fields, which begin with a dash; this one has none.
        let is_known = version != "ff" && (version != "00" || fields.next().is_none());
        let is_some = |id: &str| id.bytes().any(|digit| digit != b'0');
        if !(is_known && is_some(id) && is_some(span)) {
            return None;
        }
        let is_whole = |state: &&str| {
            let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
            !state.is_empty() && state.len() <= LONGEST_STATE && state.bytes().all(printable)
        };
        Some(Self {
            id: id.to_owned(),
            flags: u8::from_str_radix(flags, 16).ok()? & FLAGS,
            state: state.map(str::trim).filter(is_whole).map(str::to_owned),
        })
    }

    /// The `traceparent` of what comes of the request: a step of its own in the same trace; in one that begins here, sampled,
    /// where the request is part of none.
    pub(crate) fn next(trace: Option<&Self>, random: &dyn Random) -> String {
        let span = random.uuid().simple().to_string();
        match trace {
            Some(Self { id, flags, .. }) => format!("00-{id}-{}-{flags:02x}", &span[..16]),
            None => format!("00-{}-{}-01", random.uuid().simple(), &span[..16]),
        }
    }
}

/// In lower case, as the recommendation wants it.
fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use pollux_testkit::SeededRandom;

    use super::*;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn what_is_well_formed_goes_on_under_a_span_of_its_own() {
        let random = SeededRandom::new(1);
        let next = |parent: &str| {
            let trace = Trace::read(parent, None);
            trace.map(|trace| Trace::next(Some(&trace), &random))
        };
        for (flags, kept) in [("00", "00"), ("01", "01"), ("03", "03"), ("ff", "03")] {
            let told = next(&format!("00-{ID}-b7ad6b7169203331-{flags}")).unwrap();
            assert!(told.starts_with(&format!("00-{ID}-")) && told.ends_with(&format!("-{kept}")), "{told}");
            assert!(told.len() == 55 && !told.contains("b7ad6b7169203331"), "{told}");
        }
        let later = next(&format!("cc-{ID}-b7ad6b7169203331-01-what-the-future-holds")).unwrap();
        assert!(later.starts_with(&format!("00-{ID}-")), "{later}");
        for bad in [
            "",
            "00",
            &format!("00-{ID}-b7ad6b7169203331"),
            &format!("00-{ID}-b7ad6b7169203331-01-more"),
            &format!("00-{ID}-b7ad6b7169203331-01-"),
            &format!("00-{ID}-b7ad6b7169203331-0é"),
            &format!("ff-{ID}-b7ad6b7169203331-01"),
            &format!("00-{}-b7ad6b7169203331-01", ID.to_uppercase()),
            &format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            &format!("00-{ID}-{}-01", "0".repeat(16)),
        ] {
            assert_eq!(next(bad), None, "{bad}");
        }
        assert_ne!(Trace::next(None, &random)[..35], Trace::next(None, &random)[..35]);
    }

    #[test]
    fn a_state_is_kept_where_it_is_text_and_not_long() {
        let parent = format!("00-{ID}-b7ad6b7169203331-01");
        let state = |state: &str| Trace::read(&parent, Some(state)).unwrap().state;
        assert_eq!(state("rojo=00f0,congo=t61 "), Some("rojo=00f0,congo=t61".into()));
        for bad in ["", "a=\u{e9}", "a=\tb", &"x".repeat(513)] {
            assert_eq!(state(bad), None, "{bad}");
        }
    }
}
