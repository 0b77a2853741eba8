use std::net::Ipv4Addr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pollux_model::resource::ResourceKind;
use pollux_model::{Clock as _, ResourceName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::keys::SigningKey;
use super::*;
use crate::caller::{Caller, Right};
use crate::fixture::World;
use crate::{Services, Settings};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TWINS_SCOPE: &str = "https://digitaltwins.azure.net/.default";

fn request(services: &Services) -> GrantRequest {
    let known = services.issuer.credentials().unwrap();
    GrantRequest {
        tenant: known.tenant_id,
        grant_type: Some("client_credentials".to_owned()),
        client_id: Some(known.client_id),
        client_secret: Some(known.client_secret),
        scope: Some(TWINS_SCOPE.to_owned()),
    }
}

async fn token(world: &World) -> String {
    let services = &world.services;
    services.issuer.grant(&request(services), HERE).await.unwrap().access_token
}

fn may_write(caller: &Caller) -> bool {
    let name = ResourceName::parse("twins1").unwrap();
    caller.require(ResourceKind::Twins, &name, Right::TwinsWrite).is_ok()
}

fn claims_of(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

#[tokio::test]
async fn a_client_gets_a_token_that_opens_its_audience() {
    let world = World::new().await;
    let token = token(&world).await;
    let claims = claims_of(&token);
    let tenant = world.services.issuer.tenant();
    assert_eq!(claims["aud"], "https://digitaltwins.azure.net");
    assert_eq!(claims["tid"], tenant);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    let caller = world.services.issuer.verify(&token, ResourceKind::Twins).await.unwrap();
    assert!(may_write(&caller));
    assert_eq!(caller.expires.unwrap().as_secs(), claims["exp"].as_i64().unwrap());
    for kind in [ResourceKind::Hub, ResourceKind::Dps, ResourceKind::Events, ResourceKind::Functions] {
        let error = world.services.issuer.verify(&token, kind).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Unauthorized, "a token for twins opens no {kind}");
    }
}

#[tokio::test]
async fn bad_requests_get_no_token() {
    let world = World::new().await;
    let services = &world.services;
    let good = request(services);
    let with = |change: &dyn Fn(&mut GrantRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let table = [
        (with(&|r| r.tenant = "common".to_owned()), GrantError::UnknownTenant),
        (with(&|r| r.grant_type = None), GrantError::Missing("grant_type")),
        (with(&|r| r.grant_type = Some("password".to_owned())), GrantError::UnsupportedGrant),
        (with(&|r| r.client_id = None), GrantError::Missing("client_id")),
        (with(&|r| r.client_secret = None), GrantError::Missing("client_secret")),
        (with(&|r| r.scope = None), GrantError::Missing("scope")),
        (with(&|r| r.client_id = Some("nobody".to_owned())), GrantError::InvalidClient),
        (with(&|r| r.client_secret = Some(String::new())), GrantError::InvalidClient),
        (with(&|r| r.scope = Some("https://vault.azure.net/.default".to_owned())), GrantError::InvalidScope),
        (with(&|r| r.scope = Some("https://digitaltwins.azure.net".to_owned())), GrantError::InvalidScope),
    ];
    for (request, expected) in table {
        assert_eq!(services.issuer.grant(&request, HERE).await.map(drop), Err(expected), "{request:?}");
    }
}

#[tokio::test]
async fn an_address_that_guesses_is_held_back_for_a_minute() {
    let world = World::new().await;
    let services = &world.services;
    let wrong = GrantRequest { client_secret: Some("guess".to_owned()), ..request(services) };
    for _ in 0..10 {
        assert_eq!(services.issuer.grant(&wrong, HERE).await.map(drop), Err(GrantError::InvalidClient));
    }
    let held = services.issuer.grant(&request(services), HERE).await.map(drop);
    assert!(matches!(held, Err(GrantError::TooManyAttempts { retry_after: 1..=61 })), "{held:?}");
    let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    services.issuer.grant(&request(services), elsewhere).await.unwrap();
    world.clock.advance(Duration::from_secs(61));
    services.issuer.grant(&request(services), HERE).await.unwrap();
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let world = World::new().await;
    let issuer = &world.services.issuer;
    let good = token(&world).await;
    let claims = claims_of(&good);
    let key = issuer.keys.current().await.unwrap();
    let jwk = issuer.jwks().await.unwrap()["keys"][0].clone();
    let header = |alg: &str| json!({ "alg": alg, "typ": "JWT", "kid": key.kid });
    let (body, signature) = good.rsplit_once('.').unwrap();

    let mut forged = vec![
        ("no signature", unsigned(&header("none"), &claims) + "."),
        ("none in capitals", unsigned(&header("NONE"), &claims) + "."),
        ("none with the old signature", format!("{}.{signature}", unsigned(&header("none"), &claims))),
        ("the signature cut off", format!("{body}.")),
        ("no JWT", "garbage".to_owned()),
        ("empty", String::new()),
        ("long", "x".repeat(20_000)),
    ];
    let mut owner = claims.clone();
    owner["sub"] = json!("someone else");
    forged.push(("changed claims", format!("{}.{signature}", unsigned(&header("RS256"), &owner))));
    // A public key taken for a shared secret.
    for secret in [jwk["n"].as_str().unwrap().to_owned(), jwk.to_string()] {
        for algorithm in [Algorithm::HS256, Algorithm::HS512] {
            let header = Header { kid: Some(key.kid.clone()), ..Header::new(algorithm) };
            let secret = EncodingKey::from_secret(secret.as_bytes());
            forged.push(("HMAC", jsonwebtoken::encode(&header, &claims, &secret).unwrap()));
        }
    }
    let foreign = foreign_key();
    forged.push(("a foreign key under our name", foreign.sign(Some(&key.kid), Algorithm::RS256, &claims)));
    forged.push(("a foreign key under its own name", foreign.sign(Some("other"), Algorithm::RS256, &claims)));
    forged.push(("a foreign key without a name", foreign.sign(None, Algorithm::RS256, &claims)));
    for (what, token) in forged {
        let error = issuer.verify(&token, ResourceKind::Twins).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Unauthorized, "{what}");
    }
}

#[tokio::test]
async fn our_own_key_does_not_make_any_claim_good() {
    let world = World::new().await;
    let issuer = &world.services.issuer;
    let claims = claims_of(&token(&world).await);
    let key = issuer.keys.current().await.unwrap();
    let now = world.clock.now().as_secs();
    let table = [
        ("aud", json!("https://example.com")),
        ("aud", json!("https://iothubs.azure.net")),
        ("tid", json!("00000000-0000-0000-0000-000000000000")),
        ("iss", json!("https://sts.windows.net/other/")),
        ("exp", json!(now)),
        ("exp", Value::Null),
        ("nbf", json!(now + 10)),
    ];
    for (claim, value) in table {
        let mut changed = claims.clone();
        changed[claim] = value.clone();
        let header = Header { kid: Some(key.kid.clone()), ..Header::new(Algorithm::RS256) };
        let token = jsonwebtoken::encode(&header, &changed, &key.private).unwrap();
        let error = issuer.verify(&token, ResourceKind::Twins).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Unauthorized, "{claim} {value}");
    }
    let mut reader = claims.clone();
    reader["roles"] = json!(["Azure Digital Twins Data Reader"]);
    let header = Header { kid: Some(key.kid.clone()), ..Header::new(Algorithm::RS256) };
    let token = jsonwebtoken::encode(&header, &reader, &key.private).unwrap();
    assert!(!may_write(&issuer.verify(&token, ResourceKind::Twins).await.unwrap()));
}

#[tokio::test]
async fn a_token_expires_even_if_it_was_seen_before() {
    let world = World::new().await;
    let issuer = &world.services.issuer;
    let token = token(&world).await;
    issuer.verify(&token, ResourceKind::Twins).await.unwrap();
    world.clock.advance(Duration::from_secs(3599));
    issuer.verify(&token, ResourceKind::Twins).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    let error = issuer.verify(&token, ResourceKind::Twins).await.unwrap_err();
    assert!(error.message.contains("expired"), "{}", error.message);
}

#[tokio::test]
async fn keys_rotate_and_old_ones_verify_on_until_their_tokens_are_gone() {
    let world = World::new().await;
    let issuer = &world.services.issuer;
    issuer.keys.maintain().await.unwrap();
    let first = issuer.keys.current().await.unwrap();
    world.clock.advance(Duration::from_secs(30 * 24 * 3600 - 600));
    let old = token(&world).await;
    world.clock.advance(Duration::from_secs(1200));
    issuer.keys.maintain().await.unwrap();
    assert_ne!(issuer.keys.current().await.unwrap().kid, first.kid);
    issuer.verify(&old, ResourceKind::Twins).await.unwrap();
    assert_eq!(issuer.jwks().await.unwrap()["keys"].as_array().unwrap().len(), 2);
    world.clock.advance(Duration::from_secs(2 * 3600));
    issuer.keys.maintain().await.unwrap();
    assert!(issuer.keys.named(&first.kid).is_none());

    let signing = issuer.keys.current().await.unwrap().kid.clone();
    let world = world.restarted();
    world.services.load(&[]).await.unwrap();
    let kept: Arc<SigningKey> = world.services.issuer.keys.current().await.unwrap();
    assert_eq!(kept.kid, signing, "the clock of the restarted world is earlier: the key is young");
}

#[tokio::test]
async fn a_configured_issuer_is_trusted_by_its_published_keys() {
    let foreign = foreign_key();
    let (url, _served) = serve_issuer(&foreign).await;
    let config = ExternalIssuer {
        issuer: url.clone(),
        audience: "api://pollux".to_owned(),
        role_claim: "realm.roles".to_owned(),
        mapping: [("admins".to_owned(), vec!["Azure Digital Twins Data Owner".to_owned()])].into(),
    };
    let world = World::with(Settings { issuers: vec![config], ..Settings::default() }, &[]).await;
    let now = world.clock.now().as_secs();
    let good = json!({
        "iss": url, "aud": ["other", "api://pollux"], "sub": "u1", "exp": now + 600, "realm": { "roles": ["admins"] },
    });
    let issuer = &world.services.issuer;
    let caller =
        issuer.verify(&foreign.sign(Some("k1"), Algorithm::RS256, &good), ResourceKind::Twins).await.unwrap();
    assert!(may_write(&caller));
    assert!(
        matches!(caller.identity, crate::caller::Identity::Principal { ref subject, .. } if subject == "u1")
    );
    issuer.verify(&foreign.sign(Some("k1"), Algorithm::PS256, &good), ResourceKind::Twins).await.unwrap_err();
    for (claim, value) in [
        ("aud", json!("api://other")),
        ("iss", json!("https://elsewhere.example")),
        ("exp", json!(now - 61)),
        ("nbf", json!(now + 61)),
        ("sub", Value::Null),
    ] {
        let mut bad = good.clone();
        bad[claim] = value;
        let token = foreign.sign(Some("k1"), Algorithm::RS256, &bad);
        let error = issuer.verify(&token, ResourceKind::Twins).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Unauthorized, "{claim}");
    }
    let impostor = foreign_key().sign(Some("k1"), Algorithm::RS256, &good);
    assert!(issuer.verify(&impostor, ResourceKind::Twins).await.is_err());
    let unknown = foreign.sign(Some("k2"), Algorithm::RS256, &good);
    assert!(issuer.verify(&unknown, ResourceKind::Twins).await.is_err());
}

/// An RSA key that is not ours.
struct Foreign {
    private: EncodingKey,
    public: Value,
}

impl Foreign {
    fn sign(&self, kid: Option<&str>, algorithm: Algorithm, claims: &Value) -> String {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, claims, &self.private).unwrap()
    }
}

fn foreign_key() -> Foreign {
    use aws_lc_rs::encoding::AsDer as _;
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der = pair.as_der().unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    let private = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&private, Algorithm::RS256).unwrap();
    let mut public = serde_json::to_value(jwk).unwrap();
    public["kid"] = json!("k1");
    Foreign { private, public }
}

/// Serves discovery and keys on a free port until the guard is dropped.
async fn serve_issuer(foreign: &Foreign) -> (String, tokio_util::task::AbortOnDropHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string();
    let keys = json!({ "keys": [{ "kty": "unheard-of" }, foreign.public] }).to_string();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            let wants_keys = head[..read].starts_with(b"GET /keys ");
            let body = if wants_keys { &keys } else { &discovery };
            let length = body.len();
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, tokio_util::task::AbortOnDropHandle::new(task))
}
