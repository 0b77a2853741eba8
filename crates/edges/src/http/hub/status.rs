//! What each error is on the hub's service API: status and name. Source: Azure article "Understand and resolve Azure
//! IoT Hub errors"; the body's form and the header are what the service SDKs read.

use axum::response::Response;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use pollux_model::{Error, ErrorCode};
use pollux_services::Services;
use serde_json::json;

use crate::class::Class;

const ERROR_CODE: HeaderName = HeaderName::from_static("iothub-errorcode");

/// What the caller is answered.
pub(super) fn refusal(services: &Services, error: &Error) -> Response {
    let (status, name) = of(error.code);
    let mut response = refused(services, status, name, &error.message);
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("SharedAccessSignature"));
    }
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        headers.insert(RETRY_AFTER, HeaderValue::from(error.retry_after.unwrap_or(1)));
    }
    response
}

/// The path takes other methods.
pub(super) fn not_allowed(services: &Services) -> Response {
    refused(
        services,
        StatusCode::METHOD_NOT_ALLOWED,
        "InvalidOperation",
        "this path does not take this method",
    )
}

fn refused(services: &Services, status: StatusCode, name: &'static str, message: &str) -> Response {
    let tracking_id = services.context.random.uuid();
    let body = json!({
        "Message": format!("ErrorCode:{name};{message}"),
        "ExceptionMessage": format!("Tracking ID:{tracking_id}-TimeStamp:{}", services.context.clock.now()),
    });
    let mut response = super::json(&body);
    *response.status_mut() = status;
    response.headers_mut().insert(ERROR_CODE, HeaderValue::from_static(name));
    response
}

/// What an error is called.
pub(super) const fn name(code: ErrorCode) -> &'static str {
    of(code).1
}

/// Status and name.
const fn of(code: ErrorCode) -> (StatusCode, &'static str) {
    use ErrorCode as E;
    match code {
        E::InvalidArgument | E::QueryInvalid => (StatusCode::BAD_REQUEST, "ArgumentInvalid"),
        // The real service does not tell a credential without the right from none; 403 means "too many devices".
        E::Unauthorized | E::Forbidden => (StatusCode::UNAUTHORIZED, "IotHubUnauthorizedAccess"),
        E::NotFound => (StatusCode::NOT_FOUND, "NotFound"),
        E::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
        E::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "MessageTooLarge"),
        E::Throttled => (StatusCode::TOO_MANY_REQUESTS, "ThrottlingException"),
        E::QuotaExceeded => (StatusCode::FORBIDDEN, "IotHubQuotaExceeded"),
        E::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        E::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "ServerError"),
        E::ResourceNotFound => (StatusCode::NOT_FOUND, "IotHubNotFound"),
        E::DeviceNotFound => (StatusCode::NOT_FOUND, "DeviceNotFound"),
        E::DeviceExists => (StatusCode::CONFLICT, "DeviceAlreadyExists"),
        E::ModuleNotFound => (StatusCode::NOT_FOUND, "ModuleNotFound"),
        E::ModuleExists => (StatusCode::CONFLICT, "ModuleAlreadyExistsOnDevice"),
        E::ModuleLimitReached => (StatusCode::PAYLOAD_TOO_LARGE, "TooManyModulesOnDevice"),
        E::DeviceDisabled => (StatusCode::FORBIDDEN, "DeviceDisabled"),
        E::DeviceNotOnline => (StatusCode::NOT_FOUND, "DeviceNotOnline"),
        E::DeviceTimeout => (StatusCode::GATEWAY_TIMEOUT, "GatewayTimeout"),
        E::QueueFull => (StatusCode::FORBIDDEN, "DeviceMaximumQueueDepthExceeded"),
        E::MessageLockLost => (StatusCode::PRECONDITION_FAILED, "DeviceMessageLockLost"),
        E::StorageNotConfigured => (StatusCode::BAD_REQUEST, "DefaultStorageEndpointNotConfigured"),
        E::UploadLimitReached => (StatusCode::FORBIDDEN, "DeviceMaximumActiveFileUploadLimitExceeded"),
        E::UploadNotFound => (StatusCode::BAD_REQUEST, "InvalidFileUploadCorrelationId"),
        E::ImportJobNotFound => (StatusCode::NOT_FOUND, "JobNotFound"),
        E::JobLimitReached => (StatusCode::FORBIDDEN, "JobQuotaExceeded"),
        E::BlobNotFound => (StatusCode::BAD_REQUEST, "InvalidStorageEndpointOrBlob"),
        E::JsonPatchInvalid => (StatusCode::BAD_REQUEST, "InvalidDigitalTwinJsonPatch"),
        E::ConfigurationNotFound => (StatusCode::NOT_FOUND, "ConfigurationNotFound"),
        E::ConfigurationExists => (StatusCode::CONFLICT, "ConfigurationAlreadyExists"),
        E::ConfigurationLimitReached => (StatusCode::PAYLOAD_TOO_LARGE, "ConfigurationCountLimitExceeded"),
        E::ConfigurationTargetInvalid => (StatusCode::BAD_REQUEST, "InvalidConfigurationTargetCondition"),
        E::ConfigurationContentInvalid => (StatusCode::BAD_REQUEST, "InvalidConfigurationContent"),
        E::ConfigurationContentImmutable => {
            (StatusCode::BAD_REQUEST, "CannotModifyImmutableConfigurationContent")
        }
        E::ConfigurationMetricInvalid => (StatusCode::BAD_REQUEST, "InvalidConfigurationCustomMetricsQuery"),
        E::JobNotFound => (StatusCode::NOT_FOUND, "JobNotFound"),
        E::JobExists => (StatusCode::CONFLICT, "JobAlreadyExists"),
        E::ActiveJobLimitReached => (StatusCode::TOO_MANY_REQUESTS, "ThrottlingMaxActiveJobCountExceeded"),

        // What no route of this edge asks for.
        other => Class::of(other).unasked("InvalidOperation"),
    }
}
