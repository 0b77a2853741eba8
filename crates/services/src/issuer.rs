//! The built-in token issuer and the verification of tokens.
