//! Tests of the journal through its public interface, in one binary.

#[cfg(test)]
mod basics;
#[cfg(test)]
mod batches;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod failing;
#[cfg(test)]
mod faulty;
#[cfg(test)]
mod fjall;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod marks;
#[cfg(test)]
mod on_disk;
#[cfg(test)]
mod salvage;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tables;
