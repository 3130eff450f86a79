//! The plugins that this crate offers, with the feature that links each, and those that are planned: messages answer with
//! them where a configuration names one that is not linked.

use retainit_plugin::{Offer, offer};

macro_rules! feature {
    ($kind:literal $name:literal $(, $more:ident($argument:expr))*) => {
        offer!(
            Offer::new($kind, $name, concat!("turn on the feature `", $name, "` of `retainit`"))
                $(.$more($argument))*
        );
    };
}

macro_rules! planned {
    ($kind:literal $name:literal $(, $more:ident($argument:expr))*) => {
        offer!(
            Offer::new($kind, $name, concat!("the feature `", $name, "` of `retainit` is planned, and not there yet"))
                $(.$more($argument))*
        );
    };
}

feature!("backend" "memory");
feature!("backend" "disk", schemes(&["file"]));
feature!("backend" "redis", schemes(&["redis", "rediss", "valkey", "valkeys", "redis+unix", "unix"]));
planned!("backend" "s3", schemes(&["s3"]));
planned!("backend" "mongo", schemes(&["mongodb", "mongodb+srv"]));
planned!("backend" "tiered");

feature!("serializer" "json");
feature!("serializer" "postcard");

feature!("subscriber" "logging", variables("LOG"));
feature!("subscriber" "audit");
planned!("subscriber" "prometheus");
planned!("subscriber" "datadog");
planned!("subscriber" "cloudwatch");
