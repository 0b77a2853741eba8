//! The saga that ties the services: what stands for a device, and what may be retired.
