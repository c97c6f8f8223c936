//! The names of the backends' models: this worker's copies of what the segment says.

use penstock_admission::shm::Names;

use crate::routing::BackendIndex;

#[derive(Debug, Clone, Default)]
struct Copy {
    version: u64,
    name: String,
}

#[derive(Debug)]
pub(crate) struct ServedNames(Vec<Copy>);

impl ServedNames {
    pub(crate) fn new(backends: usize) -> Self {
        ServedNames(vec![Copy::default(); backends])
    }

    /// Reads a name again only after it has changed. Empty while it is not known; such a backend is
    /// down, so no request is written for it.
    pub(crate) fn get(&mut self, names: &Names, backend: BackendIndex) -> &str {
        let copy = &mut self.0[usize::from(backend)];
        let version = names.version(usize::from(backend));
        if version != copy.version
            && let Some(name) = names.get(usize::from(backend))
        {
            *copy = Copy { version, name };
        }
        &copy.name
    }
}
