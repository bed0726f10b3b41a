//! What a member does before it serves: opens its stores ([`stores`]), finds out what it is if they
//! are empty ([`join`], [`ids`]), and makes its name and addresses known ([`publish`]).

pub(crate) mod ids;
pub(crate) mod join;
pub(crate) mod publish;
pub(crate) mod stores;
