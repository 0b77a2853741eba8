//! The issuer over HTTP, and tokens on a service's routes.

use pollux_testkit::TestServer;
use serde_json::Value;

async fn token(server: &TestServer, form: &[(&str, &str)]) -> (u16, Value) {
    let identity = server.connections().identity;
    let url = format!("{}/{}/oauth2/v2.0/token", identity.authority, identity.tenant_id);
    let body: String = form
        .iter()
        .map(|(name, value)| {
            format!("{name}={}", value.replace('%', "%25").replace('+', "%2B").replace('&', "%26"))
        })
        .collect::<Vec<_>>()
        .join("&");
    let answer = server
        .http()
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn discovery_leads_to_token_and_keys() {
    let server = TestServer::start().await;
    let identity = server.connections().identity;
    let (http, base) = (server.http(), format!("{}/{}", identity.authority, identity.tenant_id));
    let get = async |url: String| http.get(url).send().await.unwrap().json::<Value>().await.unwrap();
    let discovery = get(format!("{base}/v2.0/.well-known/openid-configuration")).await;
    assert_eq!(discovery["issuer"], format!("{base}/v2.0"));
    assert_eq!(discovery["token_endpoint"], format!("{base}/oauth2/v2.0/token"));
    let keys = get(discovery["jwks_uri"].as_str().unwrap().to_owned()).await;
    assert_eq!(keys["keys"][0]["kty"], "RSA");
    assert!(keys["keys"][0].get("d").is_none(), "no private part");
    let instance = get(format!("{}/common/discovery/instance?api-version=1.1", identity.authority)).await;
    let tenant_discovery = instance["tenant_discovery_endpoint"].as_str().unwrap();
    assert_eq!(get(tenant_discovery.to_owned()).await, discovery);

    let good = [
        ("grant_type", "client_credentials"),
        ("client_id", &identity.client_id),
        ("client_secret", &identity.client_secret),
        ("scope", "https://digitaltwins.azure.net/.default"),
    ];
    let (status, answer) = token(&server, &good).await;
    assert_eq!((status, &answer["token_type"]), (200, &"Bearer".into()));
    let query = |authorization: Option<String>| {
        let request = http.post(format!("{}/query?api-version=2023-10-31", server.url()));
        let request = request.json(&serde_json::json!({ "query": "SELECT * FROM DIGITALTWINS" }));
        match authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        }
    };
    let status = async |authorization| query(authorization).send().await.unwrap().status().as_u16();
    let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap());
    assert_eq!(status(Some(bearer.clone())).await, 200);
    assert_eq!(status(None).await, 401);
    assert_eq!(status(Some(format!("{bearer}x"))).await, 401);
    assert_eq!(status(Some(format!("Bearer {}", server.connections().admin.key))).await, 401);
}

#[tokio::test]
async fn what_is_wrong_is_said_in_oauths_words() {
    let server = TestServer::start().await;
    let identity = server.connections().identity;
    let (id, secret) = (identity.client_id.as_str(), identity.client_secret.as_str());
    let twins = "https://digitaltwins.azure.net/.default";
    let grant = ("grant_type", "client_credentials");
    type Case<'c> = (&'c [(&'c str, &'c str)], u16, &'c str);
    let table: [Case<'_>; 6] = [
        (&[], 400, "invalid_request"),
        (&[grant, ("client_id", id), ("scope", twins)], 400, "invalid_request"),
        (&[("grant_type", "password")], 400, "unsupported_grant_type"),
        (&[grant, ("client_id", id), ("client_secret", "x"), ("scope", twins)], 401, "invalid_client"),
        (
            &[grant, ("client_id", id), ("client_secret", secret), ("scope", "x/.default")],
            400,
            "invalid_scope",
        ),
        (&[grant, grant], 400, "invalid_request"),
    ];
    for (form, status, error) in table {
        let (got, answer) = token(&server, form).await;
        assert_eq!((got, answer["error"].as_str().unwrap()), (status, error), "{form:?}");
        assert!(answer["error_codes"][0].is_u64() && answer["error_description"].is_string());
    }
    let unknown = format!("{}/no-tenant/v2.0/.well-known/openid-configuration", server.url());
    assert_eq!(server.http().get(unknown).send().await.unwrap().status(), 400);
}
