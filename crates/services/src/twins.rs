//! Digital twins: models, twins, relationships, components, queries.
