//! Captions in the pictures (CEA-608 and CEA-708): what a menu lists of them, and which are shown.

use weir_manifest::model::Captions;

use super::subtitles::fits;
use crate::{
    captions::{CHANNELS, Channel, FIELD_CHANNELS},
    player::SubtitleChoice,
};

/// Captions in the pictures, as a menu shows them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Inside {
    /// `None` for those that cannot be shown (services of CEA-708 beyond the sixth).
    pub(super) channel: Option<Channel>,
    pub(super) name: String,
    pub(super) language: Option<String>,
}

impl Inside {
    pub(super) fn obstacle(&self) -> Option<String> {
        self.channel.is_none().then(|| "of CEA-708 only the services 1 to 6 are read".to_owned())
    }
}

/// Those that the manifest names, then those that were found; CEA-708 only where CEA-608 is not, for mostly they say the same.
pub(super) fn inside(named: &[Captions], found: [bool; CHANNELS.len()]) -> Vec<Inside> {
    let mut all: Vec<Inside> = named
        .iter()
        .map(|one| Inside {
            channel: CHANNELS.iter().position(|name| name.eq_ignore_ascii_case(&one.channel)),
            name: if one.name.is_empty() { unnamed(&one.channel) } else { one.name.clone() },
            language: one.language.clone(),
        })
        .collect();
    let older = found.iter().take(FIELD_CHANNELS).any(|found| *found)
        || all.iter().any(|one| one.channel.is_some_and(|channel| channel < FIELD_CHANNELS));
    let listed = if older { FIELD_CHANNELS } else { CHANNELS.len() };
    for (channel, name) in CHANNELS.iter().enumerate().take(listed) {
        if found.get(channel) == Some(&true) && !all.iter().any(|one| one.channel == Some(channel)) {
            all.push(Inside { channel: Some(channel), name: unnamed(name), language: None });
        }
    }
    all
}

fn unnamed(channel: &str) -> String {
    format!("Captions ({channel})")
}

/// Captions for a choice. They are shown when somebody asked for them only: most who hear do not want them.
pub(super) fn choose_inside(all: &[Inside], texts: usize, choice: &SubtitleChoice) -> Option<usize> {
    let usable = || all.iter().enumerate().filter(|(_, one)| one.channel.is_some());
    match choice {
        SubtitleChoice::Auto | SubtitleChoice::Off => None,
        SubtitleChoice::Track(nth) => {
            let nth = nth.checked_sub(texts)?;
            usable().find(|(at, _)| *at == nth).map(|(at, _)| at)
        }
        SubtitleChoice::Language(wanted) => usable()
            .filter_map(|(at, one)| {
                let channel = one.channel.and_then(|channel| CHANNELS.get(channel)).copied();
                let called = || channel.filter(|name| name.eq_ignore_ascii_case(wanted)).map(|_| 3);
                Some((fits(one.language.as_deref(), &one.name, wanted).or_else(called)?, at))
            })
            .min()
            .map(|(_, at)| at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(channels: &[&str]) -> [bool; CHANNELS.len()] {
        CHANNELS.map(|name| channels.contains(&name))
    }

    #[test]
    fn captions_in_the_pictures_are_there_for_who_asks_for_them() {
        let named = [
            Captions { channel: "CC1".into(), name: "English".into(), language: Some("en".into()) },
            Captions { channel: "SERVICE9".into(), name: "English".into(), language: Some("en".into()) },
        ];
        let all = inside(&named, found(&["CC1", "CC3", "SERVICE1"]));
        let names: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.channel)).collect();
        assert_eq!(names, [("English", Some(0)), ("English", None), ("Captions (CC3)", Some(2))]);
        assert!(all[1].obstacle().unwrap().contains("CEA-708"));
        let choose = |choice| choose_inside(&all, 2, &choice);
        assert_eq!(choose(SubtitleChoice::Auto), None);
        assert_eq!(choose(SubtitleChoice::Track(4)), Some(2));
        assert_eq!(choose(SubtitleChoice::Track(3)), None, "it cannot be shown");
        assert_eq!(choose(SubtitleChoice::Track(1)), None, "one of the others");
        assert_eq!(choose(SubtitleChoice::Language("eng".into())), Some(0));
        assert_eq!(choose(SubtitleChoice::Language("cc3".into())), Some(2));
    }

    #[test]
    fn the_newer_kind_of_captions_is_listed_where_the_older_one_is_not() {
        let all = inside(&[], found(&["SERVICE1", "SERVICE2"]));
        let names: Vec<_> = all.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["Captions (SERVICE1)", "Captions (SERVICE2)"]);
        assert!(all.iter().all(|one| one.obstacle().is_none()));
        assert_eq!(choose_inside(&all, 0, &SubtitleChoice::Language("service2".into())), Some(1));
        let named =
            [Captions { channel: "SERVICE1".into(), name: "Deutsch".into(), language: Some("de".into()) }];
        assert_eq!(inside(&named, found(&["CC1", "SERVICE1"])).len(), 2, "what is named is there too");
    }
}
