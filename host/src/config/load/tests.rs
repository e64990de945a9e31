mod degraded;
mod entries;
mod files;
mod merging;
mod shipped;
mod support;
mod tenants;
