//! The buyer's contact: where its notifications go.

#![allow(unreachable_pub, reason = "kube's derive makes public types inside of functions")]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::seller::{LANGUAGE, SellerChannel};

/// A contact: its channels and its language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContactSpec {
    /// The channels, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub channels: Vec<SellerChannel>,
    /// The language, as a BCP 47 tag such as de or pt-BR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 35))]
    #[x_kube(
        validation = Rule::new(format!("self.matches('{LANGUAGE}')"))
            .message("language is not a BCP 47 tag; write a tag such as de or pt-BR")
    )]
    pub language: Option<String>,
}
