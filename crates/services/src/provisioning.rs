//! The provisioning service: enrollments, attestation, allocation, registration records.
