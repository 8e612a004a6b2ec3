//! `spin:variables`: a component reads the variables that its part of the manifest names, and no others.

use wasmtime::Result;
use wasmtime::component::Accessor;

use crate::bindings::spin::variables::variables::{Error, Host, HostWithStore};
use crate::manifest::check_variable_name;
use crate::state::{Platform, State};

impl Host for State {}

impl<T: Send> HostWithStore<T> for Platform {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<Result<String, Error>> {
        Ok(accessor.with(|mut access| {
            let component = &access.get().component;
            if let Some(value) = component.variables.get(&name) {
                return Ok(value.clone());
            }
            Err(match check_variable_name(&name) {
                Ok(()) => Error::Undefined(format!("no variable for {:?}.{name:?}", component.id)),
                Err(error) => Error::InvalidName(error.to_string()),
            })
        }))
    }
}
