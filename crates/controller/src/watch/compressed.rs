//! Compressed resources. Ten thousand are cached, and each is reconciled only a few times: in
//! between it is a small piece of compressed text, a ninth of what its parts take in memory. Most
//! of the text of one resource is that of all others, so it is compressed against a typical one.

use std::sync::Arc;

use orderstream_api::order_request::OrderRequest;

/// Typical resources as text, in all phases, the most frequent last. Text that is in here takes no
/// space in a resource. The file may change: nothing compressed outlives the process.
static DICTIONARY: &[u8] = include_bytes!("compressed/dictionary.txt");

/// A resource as compressed text. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CompressedRequest {
    bytes: Arc<[u8]>,
    /// The bytes of the text before compression.
    text_len: usize,
}

impl CompressedRequest {
    /// Compresses a resource; `None` when it cannot be written as text.
    pub(super) fn compress(resource: &OrderRequest) -> Option<Self> {
        let text = serde_json::to_vec(resource).ok()?;
        let bytes = lz4_flex::block::compress_with_dict(&text, DICTIONARY).into();
        Some(Self { bytes, text_len: text.len() })
    }

    /// Returns the resource as it was compressed; `None` where the bytes are damaged.
    pub(super) fn decompress(&self) -> Option<OrderRequest> {
        let text =
            lz4_flex::block::decompress_with_dict(&self.bytes, self.text_len, DICTIONARY).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use orderstream_api::order_request::OrderRequestSpec;
    use orderstream_api::status::status;
    use orderstream_core::event::OrderOpened;
    use orderstream_core::spec::{SellerChoice, Verdict};
    use orderstream_core::tracker::{Tracker, TrackerInput};
    use orderstream_core::{
        Epoch, Event, EventKind, Incarnation, OrderKey, OrderSpec, SellerId, Seq, Timestamp,
    };
    use proptest::prelude::*;

    use super::*;

    const UID: &str = "7d3c8f0e-3b1a-4d5e-9f6a-0b1c2d3e4f50";

    fn streaming(name: &str) -> OrderRequest {
        let key = OrderKey::new("shop", name).unwrap();
        let incarnation = Incarnation::new(UID).unwrap();
        let mut tracker = Tracker::new(key.clone(), incarnation.clone());
        let now = Timestamp(1_800_000_000_000);
        let processor = "http://10.0.0.7:50051".into();
        tracker.step(now, TrackerInput::Connected { processor, epoch: Epoch(3) });
        let opened = OrderOpened {
            key,
            incarnation,
            spec: OrderSpec::default(),
            expires_at: now.plus_ms(1_800_000),
        };
        let choices = (0..10).map(|number| SellerChoice {
            seller: SellerId::new(format!("seller-{number}")).unwrap(),
            verdict: Verdict::Chosen,
            distance_m: None,
            display_name: None,
        });
        let kinds = [
            EventKind::OrderOpened(Box::new(opened)),
            EventKind::SellersSelected(choices.collect()),
        ];
        for (kind, seq) in kinds.into_iter().zip(1..) {
            let event = Event { seq: Seq(seq), at: now, cause: None, kind };
            tracker.step(now, TrackerInput::Received(Arc::new(event)));
        }
        let metadata = ObjectMeta {
            namespace: Some("shop".to_owned()),
            name: Some(name.to_owned()),
            uid: Some(UID.to_owned()),
            resource_version: Some("1234567".to_owned()),
            generation: Some(1),
            ..ObjectMeta::default()
        };
        let status = status(1, &Default::default(), Some(&tracker.snapshot()), None, now);
        let spec = OrderRequestSpec { expires_in: "6h".to_owned(), ..Default::default() };
        OrderRequest { metadata, spec, status: Some(status) }
    }

    #[test]
    fn typical_resources_compress_to_a_fifth() {
        let resource = streaming("SB1029436");
        let compressed = CompressedRequest::compress(&resource).unwrap();
        assert_eq!(compressed.decompress().as_ref(), Some(&resource));
        assert!(compressed.text_len > 1_400, "{}", compressed.text_len);
        assert!(compressed.bytes.len() * 5 < compressed.text_len, "{}", compressed.bytes.len());
    }

    #[test]
    fn damaged_bytes_are_not_a_resource() {
        let mut compressed = CompressedRequest::compress(&streaming("a")).unwrap();
        compressed.bytes = compressed.bytes.iter().skip(1).copied().collect();
        assert_eq!(compressed.decompress(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None, ..ProptestConfig::with_cases(128)
        })]

        #[test]
        fn unpacking_restores_the_resource(
            texts in proptest::collection::vec(".{0,60}", 4),
            places in proptest::collection::vec((-90.0..90.0, -180.0..180.0), 0..2),
            distance in 0.0..20_000.0,
            long in "[a-z ]{0,4000}",
        ) {
            let mut resource = streaming("a");
            let [title, sku, address, reason] = <[String; 4]>::try_from(texts).unwrap();
            resource.spec = serde_json::from_value(serde_json::json!({
                "title": title,
                "items": [{ "sku": sku, "quantity": 3 }, { "sku": "b", "quantity": "2.50" }],
                "delivery": places.first().map(|(latitude, longitude)| serde_json::json!({
                    "latitude": latitude, "longitude": longitude, "address": address,
                })),
                "sellers": { "maxCount": 5, "maxDistanceKm": distance },
                "message": { "type": "markdown", "message": long },
            }))
            .unwrap();
            for condition in &mut resource.status.as_mut().unwrap().conditions {
                condition.message.clone_from(&reason);
            }
            prop_assert_eq!(CompressedRequest::compress(&resource).unwrap().decompress(), Some(resource));
        }
    }
}
