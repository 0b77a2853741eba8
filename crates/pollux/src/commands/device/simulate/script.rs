//! What a device of a model has: the model's Interface and those of its components.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use pollux_client::rest::Paging;
use pollux_dtdl::{Command, Dtmi, Interface, Limits, ModelSet, parse};
use serde_json::Value;

use crate::commands::twin::model_files;
use crate::session::Session;

/// The models, and which one is played.
#[derive(Debug)]
pub(super) struct Script {
    set: ModelSet,
    id: Dtmi,
    /// Names of components, and their Interfaces.
    components: Vec<(String, Dtmi)>,
}

/// An Interface and, if it is a component's, the component's name.
pub(super) type Part<'s> = (Option<&'s str>, &'s Interface);

impl Script {
    /// From files.
    pub(super) fn from_files(from: &Path, id: Option<&str>) -> Result<Self> {
        let shown = from.display().to_string();
        Self::new(model_files::read(&shown)?, id).with_context(|| format!("'{shown}'"))
    }

    /// From a digital twins instance.
    pub(super) async fn from_twins(session: &Session, instance: Option<&str>, id: &str) -> Result<Self> {
        let path =
            format!("/models?dependenciesFor={}&includeModelDefinition=true", crate::input::segment(id));
        let twins = session.twins(instance)?;
        let found = twins.pages(Paging::Link { path }).collect(usize::MAX).await;
        let found =
            found.with_context(|| format!("the model '{id}' cannot be read from the digital twins"))?;
        Self::new(found.into_iter().map(|mut entry| entry["model"].take()).collect(), Some(id))
    }

    fn new(documents: Vec<Value>, id: Option<&str>) -> Result<Self> {
        let wrong = |errors: Vec<pollux_dtdl::Diagnostic>| {
            let lines: Vec<_> = errors.iter().take(10).map(ToString::to_string).collect();
            anyhow::anyhow!("the models are not valid:\n  {}", lines.join("\n  "))
        };
        let models = parse(&documents, &Limits::language()).map_err(wrong)?;
        let set = ModelSet::new().with(models).map_err(wrong)?;
        let id = match id {
            Some(id) => Dtmi::parse(id).with_context(|| format!("'{id}' is no model id"))?,
            None => only(&set)?,
        };
        let interface = set.get(&id).with_context(|| format!("there is no model '{id}' in it"))?;
        let parts = interface.components.values();
        let components = parts.map(|part| (part.name.clone(), part.schema.clone())).collect();
        Ok(Self { set, id, components })
    }

    /// The model's id.
    pub(super) const fn id(&self) -> &Dtmi {
        &self.id
    }

    /// The model itself, then its components.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let own = self.set.get(&self.id).map(|interface| (None, interface));
        let components = self.components.iter();
        own.into_iter()
            .chain(components.filter_map(|(name, id)| Some((Some(name.as_str()), self.set.get(id)?))))
    }

    /// Parts that send something: a model without telemetry says that it lives.
    pub(super) fn senders(&self) -> impl Iterator<Item = Part<'_>> {
        self.parts().filter(|(component, interface)| component.is_none() || !interface.telemetries.is_empty())
    }

    /// A component's Interface.
    pub(super) fn component(&self, name: &str) -> Option<&Interface> {
        let (_, id) = self.components.iter().find(|(one, _)| one == name)?;
        self.set.get(id)
    }

    /// The command that a method is: that of a component is `component*command`.
    pub(super) fn command(&self, method: &str) -> Option<&Command> {
        let (interface, name) = match method.split_once('*') {
            Some((component, name)) => (self.component(component)?, name),
            None => (self.set.get(&self.id)?, method),
        };
        interface.commands.get(name).map(AsRef::as_ref)
    }
}

/// The only model that is not part of another one.
fn only(set: &ModelSet) -> Result<Dtmi> {
    let part: HashSet<_> = set
        .models()
        .filter(|model| !set.referenced_by(&model.id).is_empty())
        .map(|model| model.id.clone())
        .collect();
    let whole: Vec<_> = set.models().map(|model| &model.id).filter(|id| !part.contains(*id)).collect();
    match whole.as_slice() {
        [one] => Ok((*one).clone()),
        [] => bail!("there are only models that others are made of: say which with --model-id"),
        many => {
            let shown: Vec<_> = many.iter().take(10).map(ToString::to_string).collect();
            bail!(
                "there are {} models to choose from; say which with --model-id: {}",
                many.len(),
                shown.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn models() -> Vec<Value> {
        let part = json!({
            "@id": "dtmi:x:Part;1", "@type": "Interface", "@context": "dtmi:dtdl:context;2",
            "contents": [{ "@type": "Command", "name": "turn" }],
        });
        let whole = json!({
            "@id": "dtmi:x:Whole;1", "@type": "Interface", "@context": "dtmi:dtdl:context;2",
            "contents": [
                { "@type": "Component", "name": "part", "schema": "dtmi:x:Part;1" },
                { "@type": "Command", "name": "stop" },
            ],
        });
        vec![part, whole]
    }

    #[test]
    fn the_model_that_is_part_of_no_other_is_played() {
        let script = Script::new(models(), None).unwrap();
        assert_eq!(script.id().to_string(), "dtmi:x:Whole;1");
        assert_eq!(script.parts().map(|(name, _)| name).collect::<Vec<_>>(), [None, Some("part")]);
        for (method, there) in
            [("stop", true), ("part*turn", true), ("turn", false), ("part*stop", false), ("no*turn", false)]
        {
            assert_eq!(script.command(method).is_some(), there, "{method}");
        }
    }

    #[test]
    fn what_cannot_be_played_is_said() {
        let mut two = models();
        two.push(json!({ "@id": "dtmi:x:Other;1", "@type": "Interface", "@context": "dtmi:dtdl:context;2" }));
        let said = |documents, id| format!("{:#}", Script::new(documents, id).unwrap_err());
        assert!(said(two, None).contains("--model-id"));
        assert!(said(models(), Some("dtmi:x:None;1")).contains("dtmi:x:None;1"));
        assert!(said(vec![json!({ "@id": "dtmi:x:Bad;1" })], None).contains("not valid"));
    }
}
