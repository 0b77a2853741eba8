//! Neutral error codes. Each edge has one exhaustive table from [`ErrorCode`] to its own words.

/// The result of every rule.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as a decision a caller can take. Protocol statuses are chosen from it in `edges`, never here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    // What any service may say.
    /// A parameter, header or body does not have the form it must have.
    InvalidArgument,
    /// What is needed to know what is asked for was left out.
    MissingArgument,
    /// A continuation token that was not given for this list.
    ContinuationInvalid,
    /// No credential, or one that does not hold.
    Unauthorized,
    /// A good credential without the right.
    Forbidden,
    /// The path or verb names nothing that exists.
    NotFound,
    /// `If-Match` or `If-None-Match` did not hold.
    PreconditionFailed,
    /// A body, message or name is larger than its limit.
    TooLarge,
    /// The caller sends faster than its limit.
    Throttled,
    /// A count limit of the service is reached.
    QuotaExceeded,
    /// A dependency is away; trying again later may help.
    Unavailable,
    /// A bug or a broken disk; the log knows more.
    Internal,

    // Resources.
    /// No such resource, group or policy.
    ResourceNotFound,
    /// A resource of that kind and name exists.
    ResourceExists,
    /// The resource is still used by another.
    ResourceInUse,

    // Provisioning.
    /// No such individual enrollment.
    EnrollmentNotFound,
    /// No such enrollment group.
    EnrollmentGroupNotFound,
    /// An enrollment of that id exists.
    EnrollmentExists,
    /// No registration record of that id.
    RegistrationNotFound,
    /// No operation of that id for that registration.
    OperationNotFound,
    /// The enrollment that decides for this device is disabled.
    EnrollmentDisabled,
    /// The custom allocation webhook failed or answered what it must not.
    AllocationFailed,

    // Hub.
    /// No such device.
    DeviceNotFound,
    /// A device of that id exists.
    DeviceExists,
    /// No such module on that device.
    ModuleNotFound,
    /// A module of that id exists on that device.
    ModuleExists,
    /// The device has as many modules as it may have.
    ModuleLimitReached,
    /// The device is disabled.
    DeviceDisabled,
    /// The device is not connected.
    DeviceNotOnline,
    /// The device did not answer in time.
    DeviceTimeout,
    /// The device has as many messages waiting as it may have.
    QueueFull,
    /// The message is no longer held by this lock.
    MessageLockLost,
    /// The hub has no place for files.
    StorageNotConfigured,
    /// The device uploads as many files as it may at a time.
    UploadLimitReached,
    /// No upload of that correlation id is under way for that device.
    UploadNotFound,
    /// The file that was uploaded is not there.
    BlobNotFound,
    /// No such configuration.
    ConfigurationNotFound,
    /// A configuration of that id exists.
    ConfigurationExists,
    /// The hub has as many configurations as it may have.
    ConfigurationLimitReached,
    /// The target condition of a configuration does not hold.
    ConfigurationTargetInvalid,
    /// What a configuration sets cannot be set.
    ConfigurationContentInvalid,
    /// What a configuration sets cannot be changed.
    ConfigurationContentImmutable,
    /// A query of a configuration's metrics does not hold.
    ConfigurationMetricInvalid,
    /// No such job of a hub.
    JobNotFound,
    /// A job of that id exists in the hub.
    JobExists,
    /// As many scheduled jobs of the hub run, or wait, as may.
    ActiveJobLimitReached,

    // Events.
    /// No such namespace, event hub, consumer group or partition.
    EventHubNotFound,
    /// Another receiver has the partition, by its owner level.
    ReceiverDisplaced,

    // Digital twins.
    /// No such model.
    ModelNotFound,
    /// A model of that id exists.
    ModelExists,
    /// The models do not hold by DTDL.
    ModelInvalid,
    /// The model is used by another model.
    ModelReferenced,
    /// A model that uses the model is not decommissioned.
    ModelReferencesInUse,
    /// The models are written in a version of DTDL that is not accepted.
    ModelVersionUnsupported,
    /// The model is decommissioned: no new twins of it.
    ModelDecommissioned,
    /// No such twin.
    TwinNotFound,
    /// The instance has as many twins as it may have.
    TwinLimitReached,
    /// The twin still has relationships.
    RelationshipsNotDeleted,
    /// No such relationship.
    RelationshipNotFound,
    /// A relationship of that id exists on that twin.
    RelationshipExists,
    /// A relationship of a twin with itself.
    SelfRelationship,
    /// The relationship's target is no twin.
    TargetTwinNotFound,
    /// The model has no such component.
    ComponentNotFound,
    /// A JSON Patch document is malformed or uses what is not allowed.
    JsonPatchInvalid,
    /// Contents do not hold by the model.
    ValidationFailed,
    /// A query does not parse or type-check.
    QueryInvalid,
    /// A query that must see everything has no time for it.
    QueryTimeout,
    /// No such import job.
    ImportJobNotFound,
    /// No such delete job.
    DeleteJobNotFound,
    /// One job at a time.
    JobLimitReached,
    /// No such event route.
    EventRouteNotFound,
    /// The id of an event route is none.
    EventRouteIdInvalid,
    /// An event route leads to no endpoint of the instance.
    EventRouteEndpointInvalid,
    /// The filter of an event route does not parse or type-check.
    EventRouteFilterInvalid,

    // Functions.
    /// No such function or setting.
    FunctionNotFound,
    /// No such dead letter.
    DeadLetterNotFound,
}

/// An error a caller is told. The message says what is wrong and what to change; it never carries a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What it means.
    pub code: ErrorCode,
    /// What to tell a person.
    pub message: String,
    /// In how many seconds it may go better, where that is known.
    pub retry_after: Option<u32>,
}

impl Error {
    /// An error with a code and a message.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    /// With the seconds after which it may go better.
    #[must_use]
    pub fn after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// [`ErrorCode::InvalidArgument`].
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }

    /// [`ErrorCode::Internal`]: the cause goes to the log, not to the caller.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(ErrorCode::Internal, "an internal error occurred; the server's log says more")
    }
}
