//! Passes napi's link flags to the cdylib.
fn main() {
    napi_build::setup();
}
