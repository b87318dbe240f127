//! The projection, over the official driver. Every operation has a timeout, and none is retried
//! here: the caller decides when to retry.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use mongodb::bson::{Document, doc};
use mongodb::options::{ClientOptions, IndexOptions, ReplaceOptions, UpdateOptions};
use mongodb::{Client, Collection, Database, IndexModel};
use orderstream_core::port::{
    OrderProjection, ProjectionCursor, ProjectionError, ProjectionFuture,
};
use orderstream_core::{Event, OrderIncarnation, Seq, Timestamp};

use crate::authorities::{AuthoritiesFile, trust};
use crate::documents::{self, EVENT_COLLECTIONS, FINALISED, FOLLOW_UPS, PAUSED, SUBMISSIONS};
use crate::endpoint::MongoEndpoint;
use crate::error::{Error, options_error, projection_error};

/// The timeout of one operation; the driver's own timeouts are shorter, so that its error is
/// reported.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);
/// The timeout for selecting a server, unless the URL sets it.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// The timeout for connecting, unless the URL sets it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The timeout for closing the connections.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The limit on connections, unless the URL sets it: the number of orders that are projected
/// concurrently.
const CONNECTIONS_MAX: u32 = 16;
/// The name of the index by order.
const INDEX: &str = "order";

/// Order status and follow-ups in MongoDB.
#[derive(Clone, Debug)]
pub struct MongoProjection {
    client: Client,
    database: Database,
    /// The file that the driver reads the trusted authorities from.
    _authorities: Option<Arc<AuthoritiesFile>>,
}

impl MongoProjection {
    /// Creates a projection to this MongoDB. It connects on first use, and again after an
    /// interruption. With TLS it trusts the authorities of the PEM text and no others, unless the
    /// URL names a file of them; without either, those that are built into the driver. Must be called
    /// inside a Tokio runtime.
    ///
    /// # Errors
    /// When the driver does not accept the URL's combination of options, or a file that they name.
    pub async fn new(endpoint: &MongoEndpoint, authorities: Option<&str>) -> Result<Self, Error> {
        let wrong = |error| options_error(endpoint, &error);
        let mut options = ClientOptions::parse(endpoint.connection.clone()).await.map_err(wrong)?;
        options.app_name.get_or_insert_with(|| "orderstream".to_owned());
        options.server_selection_timeout.get_or_insert(SELECTION_TIMEOUT);
        options.connect_timeout.get_or_insert(CONNECT_TIMEOUT);
        options.max_pool_size.get_or_insert(CONNECTIONS_MAX);
        let authorities = authorities.map(|pem| trust(&mut options, pem)).transpose();
        let authorities = authorities
            .map_err(|error| Error(format!("'{endpoint}' cannot trust the bundle: {error}")))?;
        let client = Client::with_options(options).map_err(wrong)?;
        let database = client.database(&endpoint.database);
        Ok(Self { client, database, _authorities: authorities.flatten().map(Arc::new) })
    }

    fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    async fn create_indexes(&self) -> Result<(), ProjectionError> {
        for name in [SUBMISSIONS, FOLLOW_UPS, FINALISED, PAUSED] {
            let options = IndexOptions::builder().name(INDEX.to_owned()).build();
            let keys = doc! { "order_req_id": 1, "tenant": 1 };
            let model = IndexModel::builder().keys(keys).options(options).build();
            let collection = self.collection(name);
            let created = collection.create_index(model);
            within(OPERATION_TIMEOUT, created.into_future()).await?;
        }
        Ok(())
    }

    async fn read_cursors(
        &self,
        orders: &[OrderIncarnation],
    ) -> Result<Vec<ProjectionCursor>, ProjectionError> {
        let ids: Vec<String> = orders.iter().map(documents::id_of).collect();
        let submissions = self.collection(SUBMISSIONS);
        let found = async {
            let found = submissions
                .find(doc! { "_id": { "$in": &ids } })
                .projection(doc! { "last_seq": 1, "updated_at": 1 })
                .await?;
            found.try_collect::<Vec<Document>>().await
        };
        let found = within(OPERATION_TIMEOUT, found).await?;
        let by_id: BTreeMap<_, _> = found.iter().filter_map(cursor_of).collect();
        Ok(ids.iter().map(|id| by_id.get(id.as_str()).copied().unwrap_or_default()).collect())
    }

    async fn write(
        &self,
        order: &OrderIncarnation,
        after: Seq,
        events: &[Arc<Event>],
    ) -> Result<(), ProjectionError> {
        let writes = documents::writes(order, after, events);
        for (name, document) in writes.upserts {
            let filter = doc! { "_id": document.get("_id").cloned() };
            let options = ReplaceOptions::builder().upsert(true).build();
            let collection = self.collection(name);
            let put = collection.replace_one(filter, document).with_options(options);
            within(OPERATION_TIMEOUT, put.into_future()).await?;
        }
        // An incarnation of which nothing is stored has no document. If one exists nevertheless, it
        // has another cursor, and the upsert fails because its id is taken.
        let options = UpdateOptions::builder().upsert(after == Seq(0)).build();
        let submissions = self.collection(SUBMISSIONS);
        let updated = submissions.update_one(writes.filter, writes.update).with_options(options);
        let result = within(OPERATION_TIMEOUT, updated.into_future()).await?;
        match result.matched_count == 0 && result.upserted_id.is_none() {
            true => Err(ProjectionError::Moved),
            false => Ok(()),
        }
    }

    async fn remove(&self, order: &OrderIncarnation) -> Result<(), ProjectionError> {
        let filter = doc! {
            "order_req_id": order.key.order_req_id.as_str(),
            "tenant": order.key.tenant.as_str(),
            "incarnation": order.incarnation.as_str(),
        };
        // The cursor is removed last: until then, a reader of it finds the same fault and comes
        // here again.
        for name in EVENT_COLLECTIONS {
            let collection = self.collection(name);
            let removed = collection.delete_many(filter.clone());
            within(OPERATION_TIMEOUT, removed.into_future()).await?;
        }
        let submissions = self.collection(SUBMISSIONS);
        let removed = submissions.delete_one(doc! { "_id": documents::id_of(order) });
        within(OPERATION_TIMEOUT, removed.into_future()).await?;
        Ok(())
    }
}

/// Returns the id and the cursor of a status document. A document without a readable number counts
/// as beyond every list, so it is removed and rebuilt.
fn cursor_of(document: &Document) -> Option<(&str, ProjectionCursor)> {
    let id = document.get_str("_id").ok()?;
    let number = document.get_i64("last_seq").unwrap_or(i64::MAX);
    let seq = u64::try_from(number).unwrap_or(i64::MAX.unsigned_abs());
    let at = document.get_datetime("updated_at").ok().map(|at| Timestamp(at.timestamp_millis()));
    Some((id, ProjectionCursor { seq: Seq(seq), at }))
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = mongodb::error::Result<T>>,
) -> Result<T, ProjectionError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(|error| projection_error(&error)),
        Err(_) => {
            let text = format!("MongoDB did not answer within {} s", limit.as_secs());
            Err(ProjectionError::Unavailable(text))
        }
    }
}

impl OrderProjection for MongoProjection {
    fn prepare(&self) -> ProjectionFuture<'_, ()> {
        Box::pin(self.create_indexes())
    }

    fn cursors<'a>(
        &'a self,
        orders: &'a [OrderIncarnation],
    ) -> ProjectionFuture<'a, Vec<ProjectionCursor>> {
        Box::pin(self.read_cursors(orders))
    }

    fn project<'a>(
        &'a self,
        order: &'a OrderIncarnation,
        after: Seq,
        events: &'a [Arc<Event>],
    ) -> ProjectionFuture<'a, ()> {
        Box::pin(self.write(order, after, events))
    }

    fn remove<'a>(&'a self, order: &'a OrderIncarnation) -> ProjectionFuture<'a, ()> {
        Box::pin(self.remove(order))
    }

    fn close(&self) -> ProjectionFuture<'_, ()> {
        Box::pin(async {
            let shutdown = async {
                self.client.clone().shutdown().immediate(true).await;
                Ok(())
            };
            within(CLOSE_TIMEOUT, shutdown).await
        })
    }
}
