use super::*;

#[test]
fn versions_look_like_dates() {
    for (query, good) in [
        ("/?api-version=2021-04-12", true),
        ("/?API-Version=2021-10-01", true),
        ("/?api-version=2020-05-31-preview", true),
        ("/", false),
        ("/?api-version=", false),
        ("/?api-version=latest", false),
        ("/?api-version=2021-4-12", false),
        ("/?api-version=2021-04-12-beta", false),
        ("/?api-version=2021-04-1%C3%A9", false),
    ] {
        let uri: Uri = query.parse().unwrap();
        assert_eq!(Parameters::of(&uri).check_version().is_ok(), good, "{query}");
    }
}

#[test]
fn if_match_is_read_in_every_dress() {
    let of = |text: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::IF_MATCH, HeaderValue::from_static(text));
        IfMatch::of(&headers).unwrap()
    };
    for (text, expected) in [
        ("*", IfMatch::Any),
        ("\"*\"", IfMatch::Any),
        ("abc=", IfMatch::Etag(Etag::new("abc="))),
        ("\"abc=\"", IfMatch::Etag(Etag::new("abc="))),
        ("W/\"abc\"", IfMatch::Etag(Etag::new("abc"))),
        ("", IfMatch::Absent),
        ("\"", IfMatch::Etag(Etag::new("\""))),
    ] {
        assert_eq!(of(text), expected, "{text}");
    }
    assert_eq!(IfMatch::of(&HeaderMap::new()).unwrap(), IfMatch::Absent);
}

#[test]
fn a_token_opens_the_list_it_was_made_for_and_no_other() {
    let with = |token: HeaderValue| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTINUATION, token);
        headers
    };
    let token = seal("hub/hub1/devices", "device é").unwrap();
    let headers = with(token);
    assert_eq!(Paging::of(&headers, "hub/hub1/devices").unwrap().after.as_deref(), Some("device é"));
    assert!(Paging::of(&headers, "hub/hub2/devices").is_err());
    for bad in ["x", "AAAA", "%%%", "MDAwMDAwMDAwMDAwMDAwMA"] {
        assert!(Paging::of(&with(HeaderValue::from_static(bad)), "hub/hub1/devices").is_err(), "{bad}");
    }
}

#[test]
fn page_sizes_are_bounded() {
    for (text, limit) in
        [("1", Some(1)), ("1000", Some(1000)), ("99999999999999999999", None), ("5000", Some(1000))]
    {
        assert_eq!(count(text), limit, "{text}");
    }
    for text in ["0", "-1", "ten", "1.5", ""] {
        assert_eq!(count(text), None, "{text}");
    }
}

#[test]
fn paths_are_decoded_segment_by_segment() {
    assert_eq!(segments("/devices/a%2Fb%23").unwrap(), ["devices", "a/b#"]);
    assert_eq!(segments("/devices/").unwrap(), ["devices"]);
    assert_eq!(segments("/devices//").unwrap(), ["devices", ""]);
    assert!(segments("/devices/%FF").is_err());
}
