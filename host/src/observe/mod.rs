//! What people see of the running host: metrics, health, logs.
