//! Checks the forms that the definition's patterns ask of a new order's texts, for where there is no
//! API server. The conversion reads more of them, because orders that were opened by earlier rules
//! are steered on.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use orderstream_core::Refusal;
use orderstream_core::input::check_date;

use crate::check::escaped;
use crate::controller_name;
use crate::order_request::OrderRequestSpec;

/// Checks the forms of a spec whose values are sound.
///
/// # Errors
/// Names the field, and the form to write.
pub(crate) fn check_forms(spec: &OrderRequestSpec) -> Result<(), Refusal> {
    if let Some(name) = &spec.controller_name {
        controller_name::check(name)
            .map_err(|fault| Refusal::field("spec.controllerName", fault))?;
    }
    for (index, item) in spec.items.iter().enumerate() {
        if let IntOrString::String(text) = &item.quantity
            && text.trim() != text
        {
            let message = format!("has blanks around it; write '{}'", escaped(text.trim()));
            return Err(Refusal::field(format!("spec.items[{index}].quantity"), message));
        }
    }
    let by = spec.delivery.as_ref().and_then(|delivery| delivery.by.as_deref());
    by.map_or(Ok(()), |by| check_date("spec.delivery.by", by).map(drop))
}
