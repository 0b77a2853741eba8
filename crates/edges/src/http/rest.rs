//! What the REST APIs of hub and provisioning service have in common: API versions, conditions, pages.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use pollux_model::{Error, Etag, Result, ids};

/// Where a list goes on: given with a page, sent back for the next one.
pub(super) const CONTINUATION: HeaderName = HeaderName::from_static("x-ms-continuation");
/// Most items wanted in a page.
const MAX_ITEM_COUNT: HeaderName = HeaderName::from_static("x-ms-max-item-count");
/// What the rows of a page are.
pub(super) const ITEM_TYPE: HeaderName = HeaderName::from_static("x-ms-item-type");
/// Items of a page when nothing is said.
const DEFAULT_ITEMS: usize = 100;
/// The most items of a page; who asks for more gets this many.
const MOST_ITEMS: usize = 1000;

/// The parameters behind the `?`. Names compare without case.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Of a request's target.
    pub(super) fn of(uri: &Uri) -> Self {
        Self(url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The first of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Checks `api-version`: it must be there and look like one. Every version that clients of today send is answered
    /// alike.
    pub(super) fn check_version(&self) -> Result<()> {
        let Some(version) = self.get("api-version") else {
            return Err(Error::invalid(
                "the query parameter api-version is missing: add ?api-version=2021-04-12",
            ));
        };
        if is_version(version) {
            return Ok(());
        }
        let shown = ids::shown(version);
        Err(Error::invalid(format!("'{shown}' is no api-version: use YYYY-MM-DD or YYYY-MM-DD-preview")))
    }
}

/// `YYYY-MM-DD` or `YYYY-MM-DD-preview`.
fn is_version(text: &str) -> bool {
    let date = text.strip_suffix("-preview").unwrap_or(text).as_bytes();
    let hyphen = |at: usize| at == 4 || at == 7;
    date.len() == 10
        && date
            .iter()
            .enumerate()
            .all(|(at, byte)| if hyphen(at) { *byte == b'-' } else { byte.is_ascii_digit() })
}

/// The segments of a path, percent-decoded; a slash at the end does not count.
pub(super) fn segments(path: &str) -> Result<Vec<String>> {
    let bare = path.strip_prefix('/').unwrap_or(path);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    bare.split('/')
        .map(|segment| {
            let decoded = percent_encoding::percent_decode_str(segment).decode_utf8();
            decoded
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| Error::invalid("the path is not percent-encoded UTF-8"))
        })
        .collect()
}

/// The condition a request carries in `If-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IfMatch {
    /// None.
    Absent,
    /// `*`: whatever is there.
    Any,
    /// This etag.
    Etag(Etag),
}

impl IfMatch {
    /// Reads the header: with or without quotes, weak or not.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self> {
        let Some(value) = headers.get(http::header::IF_MATCH) else { return Ok(Self::Absent) };
        let text =
            value.to_str().map_err(|_| Error::invalid("the If-Match header is not plain ASCII"))?.trim();
        let bare = text.strip_prefix("W/").unwrap_or(text);
        let bare = bare.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(bare);
        Ok(match bare {
            "" => Self::Absent,
            "*" => Self::Any,
            etag => Self::Etag(Etag::new(etag)),
        })
    }

    /// The etag that is asked for, if one is.
    pub(super) fn etag(self) -> Option<Etag> {
        match self {
            Self::Absent | Self::Any => None,
            Self::Etag(etag) => Some(etag),
        }
    }
}

/// The etag as a header shows it.
pub(super) fn etag_header(etag: &Etag) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{etag}\"")).ok()
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paging {
    /// The key of the item that the page before ended with.
    pub(super) after: Option<String>,
    /// 1 to 1000.
    pub(super) limit: usize,
}

impl Paging {
    /// Reads `x-ms-max-item-count` and `x-ms-continuation`. `list` names the list with its instance and query: a token
    /// of another one is refused.
    pub(super) fn of(headers: &HeaderMap, list: &str) -> Result<Self> {
        let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?").trim());
        let limit = match text(&MAX_ITEM_COUNT).filter(|text| !text.is_empty()) {
            None => DEFAULT_ITEMS,
            Some(text) => {
                count(text).ok_or_else(|| Error::invalid("x-ms-max-item-count must be a number above 0"))?
            }
        };
        let after = match text(&CONTINUATION).filter(|text| !text.is_empty()) {
            None => None,
            Some(token) => Some(open(list, token).ok_or_else(|| {
                Error::invalid(
                    "x-ms-continuation is not the token that the page before of this list came with",
                )
            })?),
        };
        Ok(Self { after, limit })
    }
}

/// How many items are asked for: at least one, at most [`MOST_ITEMS`].
pub(super) fn count(text: &str) -> Option<usize> {
    let wanted: u64 = text.parse().ok().filter(|wanted| *wanted > 0)?;
    Some(usize::try_from(wanted).unwrap_or(MOST_ITEMS).min(MOST_ITEMS))
}

/// The token that leads to what comes after a key. It tells a position and nothing else, to those who may read the list
/// anyway: it need not be secret, only not be mistaken for another list's.
pub(super) fn seal(list: &str, after: &str) -> Option<HeaderValue> {
    let token = URL_SAFE_NO_PAD.encode(format!("{:016x}{after}", fingerprint(list)));
    HeaderValue::from_str(&token).ok()
}

fn open(list: &str, token: &str) -> Option<String> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (of, after) = text.split_at_checked(16)?;
    (of == format!("{:016x}", fingerprint(list)) && !after.is_empty()).then(|| after.to_owned())
}

/// FNV-1a: the same in every version of the program.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
pub(super) mod fixture;
#[cfg(test)]
mod tests;
