//! Indexes on properties in the store: declared, or adopted for what is asked often.
//!
//! ```text
//!   an instance declares them ─▶ made at once, in place of adopted ones if need be; they stay while they are declared
//!   query ─▶ find ─┬─ there is an index ─▶ roots by value; that it was used is told now and then
//!                  └─ there is none ─▶ all twins are read ─▶ many for few: missed ─(several times)─▶ adopt, one at a time
//!   each hour: tend ─▶ those not used for long, of instances that are gone, or beyond the bounds are dropped
//! ```
//!
//! An index only narrows down what is read: each condition is decided on the document all the same, so that none of this
//! changes an answer. What queries can bring about is bounded: so many indexes in an instance and in all, one made at a
//! time in the whole deployment, and an index that is in use is not given up for another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pollux_model::digital_twin::DigitalTwin;
use pollux_model::resource::ResourceKind;
use pollux_model::{ResourceName, Result, Timestamp};
use pollux_query::PropertyPredicate;
use pollux_store::Store;
use pollux_store::property_indexes::{IndexedProperty, Made, MostIndexes, PropertyIndex, Values};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{Twins, refusal};

pub(crate) mod declared;
mod wanted;

/// How long it is believed which indexes there are.
const FRESH: Duration = Duration::from_secs(30);
/// How often they are tended.
const TENDING: Duration = Duration::from_secs(3600);
/// Twins read for want of an index, so that it counts.
const MANY: u64 = 1000;
/// Of so many twins that are read, one may be what was looked for: more, and an index would be of little use.
const FEW: u64 = 20;
/// How often an index must be missed to be adopted.
const MISSES: u32 = 3;
/// Properties remembered of which an index was missed; beyond that, counting starts over.
const REMEMBERED: usize = 1024;
/// An index that was not used for so long may be given up for another, or with its instance.
const IDLE: Duration = Duration::from_secs(24 * 3600);
/// How long nothing is tried after one could not be made.
const PAUSE: Duration = Duration::from_secs(600);
/// When a declared one that could not be made is tried again: somebody else may have been making one.
const AGAIN: Duration = Duration::from_secs(30);

/// What is known of the store's indexes.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    known: tokio::sync::Mutex<Option<(Instant, Arc<Vec<PropertyIndex>>)>>,
    counted: Mutex<Counted>,
    /// Told when one is wanted.
    wanted: Notify,
}

#[derive(Debug, Default)]
struct Counted {
    missed: HashMap<(ResourceName, IndexedProperty), u32>,
    /// What was used since that was last told, by the index's name.
    used: HashMap<String, Timestamp>,
    wanted: Option<(ResourceName, IndexedProperty)>,
    /// No more is made before this.
    paused: Option<Instant>,
    /// The store makes none.
    never: bool,
}

/// How a query may find its roots by a value.
#[derive(Debug)]
pub(super) enum Lookup {
    /// By this index.
    Index(PropertyIndex, Values),
    /// There is none that would help.
    Missing(Scan),
}

/// Twins that are read for want of an index.
#[derive(Debug)]
pub(super) struct Scan {
    property: IndexedProperty,
    values: Values,
    read: u64,
    hits: u64,
    /// Whether a twin has such a property at all: what nobody has needs no index.
    there: bool,
    told: bool,
}

impl Indexes {
    /// How the twins for which all of this holds can be found. `None`: no index could help.
    pub(super) async fn find(
        &self,
        store: &dyn Store,
        instance: &ResourceName,
        predicates: &[PropertyPredicate],
    ) -> Option<Lookup> {
        let wanted = wanted::of(predicates);
        let first = wanted.first()?.clone();
        let known = self.known(store).await;
        let of = |property: &IndexedProperty| {
            known.iter().find(|index| index.twins == *instance && index.property == *property)
        };
        let found = wanted.into_iter().find_map(|(property, values)| Some((of(&property)?.clone(), values)));
        let (property, values) = first;
        let scan = Scan { property, values, read: 0, hits: 0, there: false, told: false };
        Some(found.map_or(Lookup::Missing(scan), |(index, values)| Lookup::Index(index, values)))
    }

    /// Which there are, as of some seconds ago. A query that finds one gone reads on without.
    async fn known(&self, store: &dyn Store) -> Arc<Vec<PropertyIndex>> {
        let mut known = self.known.lock().await;
        if let Some((at, indexes)) = &*known
            && at.elapsed() < FRESH
        {
            return Arc::clone(indexes);
        }
        let indexes = store.property_indexes().await.unwrap_or_else(|error| {
            tracing::debug!(%error, "which indexes on properties there are is not known");
            Vec::new()
        });
        let indexes = Arc::new(indexes);
        *known = Some((Instant::now(), Arc::clone(&indexes)));
        indexes
    }

    /// Looks again before the next query.
    pub(super) async fn forget(&self) {
        *self.known.lock().await = None;
    }

    /// That an index was of use.
    pub(super) fn used(&self, index: &PropertyIndex, now: Timestamp) {
        self.counted.lock().used.insert(index.name.clone(), now);
    }

    /// Looks at twins that were read for want of an index. If too many are read for few, the index is missed, once for a
    /// page of a query.
    pub(super) fn scanned(&self, instance: &ResourceName, scan: &mut Scan, twins: &[DigitalTwin]) {
        for twin in twins {
            let value = scan.property.of(&twin.document);
            scan.there |= value.is_some();
            scan.hits += u64::from(value.is_some_and(|value| scan.values.admit(value)));
        }
        scan.read += twins.len() as u64;
        if scan.told || !scan.there || scan.read < MANY || scan.hits * FEW > scan.read {
            return;
        }
        scan.told = true;
        self.missed(instance, &scan.property);
    }

    /// What would be adopted now.
    #[cfg(test)]
    pub(super) fn wanted(&self) -> Option<(ResourceName, IndexedProperty)> {
        self.counted.lock().wanted.take()
    }

    fn missed(&self, instance: &ResourceName, property: &IndexedProperty) {
        let mut counted = self.counted.lock();
        if counted.never {
            return;
        }
        if counted.missed.len() >= REMEMBERED {
            counted.missed.clear();
        }
        let key = (instance.clone(), property.clone());
        let misses = counted.missed.entry(key.clone()).or_default();
        *misses += 1;
        if *misses < MISSES || counted.paused.is_some_and(|until| Instant::now() < until) {
            return;
        }
        counted.missed.remove(&key);
        counted.wanted = Some(key);
        self.wanted.notify_one();
    }
}

impl Twins {
    /// Makes indexes that are missed and drops those that are not, until shutdown. On every node: each knows what its own
    /// queries miss. The store sees to it that one is made at a time.
    pub async fn run_indexing(self: Arc<Self>, shutdown: CancellationToken) {
        let mut tending = tokio::time::interval_at(Instant::now() + TENDING, TENDING);
        let mut again = tokio::time::interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut resources, mut all_there) = (self.context.table.subscribe(), true);
        resources.mark_changed();
        loop {
            let wanted = tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.indexes.wanted.notified() => self.indexes.counted.lock().wanted.take(),
                changed = resources.changed() => if changed.is_ok() { None } else { return },
                _ = again.tick(), if !all_there => None,
                _ = tending.tick() => {
                    if let Err(error) = self.tend_indexes().await {
                        tracing::warn!(%error, "indexes on properties of twins are not tended");
                    }
                    None
                }
            };
            let work = async {
                let Some((instance, property)) = wanted else { return self.declare_indexes().await };
                let adopted = self.adopt_index(&instance, &property).await;
                self.indexes.adopted(&instance, &property, adopted);
                Ok(all_there)
            };
            all_there = tokio::select! {
                () = shutdown.cancelled() => return,
                done = work => done.unwrap_or_else(|error| {
                    tracing::warn!(%error, "declared indexes on properties of twins are not made");
                    false
                }),
            };
            again.reset();
        }
    }

    /// Makes the indexes that instances declare, as far as there is room, and says whether nothing is left to be tried
    /// again soon.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::Unavailable`].
    pub(super) async fn declare_indexes(&self) -> Result<bool> {
        let all = self.context.table.all();
        for resource in all.iter().filter(|one| one.kind() == ResourceKind::Twins) {
            self.graphs.declare(&resource.name);
        }
        let declared = declared::all(&all);
        if declared.is_empty() || self.graphs.are_held() || self.indexes.counted.lock().never {
            return Ok(true);
        }
        let there = self.context.store.property_indexes().await.map_err(refusal::store)?;
        let (known, mut all_there) = (declared::keys(&there), true);
        for (instance, property) in declared.into_iter().filter(|one| !known.contains(one)) {
            let made = self.make_index(&instance, &property, Duration::ZERO).await;
            all_there &= !matches!(made, Ok(Made::Busy) | Err(_));
            self.indexes.adopted(&instance, &property, made);
        }
        Ok(all_there)
    }

    /// Makes an index; where there is no room, in place of one that has not been used for a day.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::Unavailable`].
    pub(super) async fn adopt_index(
        &self,
        instance: &ResourceName,
        property: &IndexedProperty,
    ) -> Result<Made> {
        self.make_index(instance, property, IDLE).await
    }

    /// The same, in place of one that was not used for so long. A declared one gives way to none.
    async fn make_index(
        &self,
        instance: &ResourceName,
        property: &IndexedProperty,
        idle: Duration,
    ) -> Result<Made> {
        let (store, now) = (&self.context.store, self.context.clock.now());
        let most = self.most_indexes();
        let made = store.make_property_index(instance, property, most, now).await.map_err(refusal::store)?;
        self.indexes.forget().await;
        if made != Made::Full {
            return Ok(made);
        }
        let all = store.property_indexes().await.map_err(refusal::store)?;
        let crowded = all.iter().filter(|index| index.twins == *instance).count() >= most.of_instance;
        let declared = declared::all(&self.context.table.all());
        let in_the_way = all.into_iter().filter(|index| {
            !declared.contains(&declared::key(index)) && (!crowded || index.twins == *instance)
        });
        let Some(least) = in_the_way.min_by_key(|index| self.used_last(index)) else { return Ok(made) };
        if now.since(self.used_last(&least)) < idle {
            return Ok(made);
        }
        store.drop_property_index(&least).await.map_err(refusal::store)?;
        store.make_property_index(instance, property, most, now).await.map_err(refusal::store)
    }

    /// Tells the store which indexes were used here, and drops those that nobody uses or that are too many.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::Unavailable`].
    pub(super) async fn tend_indexes(&self) -> Result<()> {
        let (store, now) = (&self.context.store, self.context.clock.now());
        let mut all = store.property_indexes().await.map_err(refusal::store)?;
        let used = std::mem::take(&mut self.indexes.counted.lock().used);
        for index in &mut all {
            if let Some(used) = used.get(&index.name).filter(|used| **used > index.used) {
                store.keep_property_index(index, *used).await.map_err(refusal::store)?;
                index.used = *used;
            }
        }
        let declared = declared::all(&self.context.table.all());
        let is_declared = |index: &PropertyIndex| declared.contains(&declared::key(index));
        all.sort_by_key(|index| std::cmp::Reverse((is_declared(index), index.used)));
        let (most, mut kept) = (self.most_indexes(), HashMap::<ResourceName, usize>::new());
        let long = Duration::from_secs(self.context.limits.property_index_days.saturating_mul(86_400));
        for index in all {
            let gone = self.context.table.get(ResourceKind::Twins, &index.twins).is_err();
            let in_all: usize = kept.values().sum();
            let of_instance = kept.entry(index.twins.clone()).or_default();
            let cold = now.since(index.used) >= if gone { IDLE.min(long) } else { long };
            let idle = cold && !is_declared(&index);
            if idle || *of_instance >= most.of_instance || in_all >= most.in_all {
                tracing::info!(twins = %index.twins, property = %shown(&index.property), "an index is dropped");
                store.drop_property_index(&index).await.map_err(refusal::store)?;
            } else {
                *of_instance += 1;
            }
        }
        self.indexes.forget().await;
        Ok(())
    }

    fn used_last(&self, index: &PropertyIndex) -> Timestamp {
        let here = self.indexes.counted.lock().used.get(&index.name).copied();
        here.map_or(index.used, |here| here.max(index.used))
    }

    fn most_indexes(&self) -> MostIndexes {
        let limits = &self.context.limits;
        MostIndexes { of_instance: limits.property_indexes, in_all: limits.property_indexes_in_all }
    }
}

impl Indexes {
    /// Takes note of what came of it.
    fn adopted(&self, instance: &ResourceName, property: &IndexedProperty, made: Result<Made>) {
        let property = shown(property);
        match made {
            Ok(Made::Ready) => tracing::info!(twins = %instance, %property, "an index was made"),
            Ok(Made::Busy) => {}
            Ok(Made::Full) => {
                tracing::info!(twins = %instance, %property, "an index would help, but there are as many as there may be");
                self.counted.lock().paused = Some(Instant::now() + PAUSE);
            }
            Ok(Made::Never) => {
                tracing::info!(
                    "indexes on properties of twins are not made: the store has none, or its user may not"
                );
                self.counted.lock().never = true;
            }
            Err(error) => {
                tracing::warn!(%error, twins = %instance, %property, "an index could not be made");
                self.counted.lock().paused = Some(Instant::now() + PAUSE);
            }
        }
    }
}

/// A property as queries write it.
pub(super) fn shown(property: &IndexedProperty) -> String {
    property.path().join(".")
}
