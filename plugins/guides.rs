//! The guides of the repository's folder `docs`, as pages.

macro_rules! guides {
    ($($name:ident = $file:literal;)*) => {$(
        // Definitions of links that come first take precedence over those at the end of a page, which lead to files.
        #[doc = include_str!("links.md")]
        #[doc = include_str!(concat!("../docs/", $file))]
        pub mod $name {}
    )*};
}

guides! {
    axum = "axum.md";
    caches = "caches.md";
    choose_a_backend = "choose-a-backend.md";
    choose_ttl_and_tags = "choose-ttl-and-tags.md";
    compared = "compared.md";
    configuration = "configuration.md";
    first_hour = "first-hour.md";
    invalidate = "invalidate.md";
    metrics = "metrics.md";
    migrating = "migrating.md";
    migrating_from_rust = "migrating-from-rust.md";
    profiling = "profiling.md";
    step_by_step = "step-by-step.md";
    testing = "testing.md";
    troubleshooting = "troubleshooting.md";
    write_a_backend = "write-a-backend.md";
    write_a_subscriber = "write-a-subscriber.md";
}
