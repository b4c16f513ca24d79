use super::*;

/// A client that writes with 128-byte chunks and reads ours.
#[derive(Default)]
struct Client {
    session: Session,
    input: BytesMut,
    reader: ChunkReader,
    answers: BytesMut,
}

impl Client {
    fn shaken() -> Self {
        let mut client = Self::default();
        let mut hello = vec![3];
        hello.resize(1 + 2 * 1536, 0);
        client.input.extend_from_slice(&hello);
        assert_eq!(client.session.next(&mut client.input), Ok(None));
        assert_eq!(client.session.take_output().len(), 1 + 2 * 1536);
        client
    }

    fn connected(app: &str) -> Self {
        let mut client = Self::shaken();
        let object = Value::object([("app", app.into()), ("flashVer", "FMLE/3.0\n".into())]);
        client.command(0, &["connect".into(), 1.0.into(), object]).unwrap();
        client
    }

    fn command(&mut self, stream: u32, values: &[Value]) -> Result<Option<Event>, SessionError> {
        self.message(20, stream, 0, &amf::write(values))
    }

    fn message(
        &mut self,
        kind: u8,
        stream: u32,
        at: u32,
        payload: &[u8],
    ) -> Result<Option<Event>, SessionError> {
        let mut bytes = Vec::new();
        chunk::write(&mut bytes, 3, kind, stream, at, payload, 128);
        self.input.extend_from_slice(&bytes);
        self.session.next(&mut self.input)
    }

    /// What the server said since the last time: message type, and the values of commands.
    fn heard(&mut self) -> Vec<(u8, Vec<Value>)> {
        self.answers.extend_from_slice(&self.session.take_output());
        let mut heard = Vec::new();
        while let Some(message) = self.reader.next(&mut self.answers).unwrap() {
            if message.kind == 1 {
                let size = u32::from_be_bytes(*message.payload.first_chunk().unwrap());
                self.reader.set_chunk_size(size).unwrap();
            }
            let values = if message.kind == 20 { amf::read(message.payload).unwrap() } else { Vec::new() };
            heard.push((message.kind, values));
        }
        heard
    }

    fn status(&mut self) -> String {
        let heard = self.heard();
        let code = heard.iter().flat_map(|(_, values)| values).find_map(|value| value.get("code"));
        code.and_then(Value::text).unwrap_or("").to_owned()
    }

    fn publish(&mut self, name: &str) -> PublishRequest {
        self.command(0, &["createStream".into(), 2.0.into(), Value::Null]).unwrap();
        let publish = ["publish".into(), 3.0.into(), Value::Null, name.into(), "live".into()];
        match self.command(1, &publish) {
            Ok(Some(Event::Publish(request))) => request,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_publisher_is_led_to_publishing_and_away() {
    let mut client = Client::connected("live");
    let kinds: Vec<_> = client.heard().iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [5, 6, 1, 20]);
    client.command(0, &["releaseStream".into(), 2.0.into(), Value::Null, "key".into()]).unwrap();
    client.command(0, &["FCPublish".into(), 3.0.into(), Value::Null, "key".into()]).unwrap();
    let request = client.publish("key");
    assert_eq!(request, PublishRequest { key: "key".into(), name: None, agent: "FMLE/3.0".into() });
    assert_eq!(client.message(9, 1, 0, &[0x17]), Ok(None), "nothing is taken before the answer");
    client.session.accept();
    assert_eq!(client.status(), "NetStream.Publish.Start");
    let data =
        amf::write(&["@setDataFrame".into(), "onMetaData".into(), Value::object([("width", 64.0.into())])]);
    assert!(matches!(client.message(18, 1, 0, &data), Ok(Some(Event::Metadata(_)))));
    let video = Event::Video { timestamp: 7, body: Bytes::from_static(&[0x17, 1]) };
    assert_eq!(client.message(9, 1, 7, &[0x17, 1]), Ok(Some(video)));
    let audio = Event::Audio { timestamp: 9, body: Bytes::from_static(&[0xaf, 1]) };
    assert_eq!(client.message(8, 1, 9, &[0xaf, 1]), Ok(Some(audio)));
    assert_eq!(client.message(9, 5, 7, &[0x17, 1]), Ok(None), "another stream's");
    let unpublish = ["deleteStream".into(), 4.0.into(), Value::Null, 1.0.into()];
    assert_eq!(client.command(0, &unpublish), Ok(Some(Event::Unpublish)));
    assert_eq!(client.status(), "NetStream.Unpublish.Success");
    assert_eq!(client.publish("again").key, "again");
}

#[test]
fn keys_come_in_every_usual_place() {
    let request = |app: &str, name: &str| {
        let request = Client::connected(app).publish(name);
        (request.key, request.name)
    };
    let named = |key: &str, name: &str| (key.to_owned(), Some(name.to_owned()));
    assert_eq!(request("live", "abc"), ("abc".into(), None));
    assert_eq!(request("live/", "/abc?x=1"), ("abc".into(), None));
    assert_eq!(request("live", "cam?key=abc"), named("abc", "cam"));
    assert_eq!(request("live", "cam?x=1&key=a%62c"), named("abc", "cam"));
    assert_eq!(request("live?key=abc", "cam"), named("abc", "cam"));
    assert_eq!(request("live?key=abc", ""), ("abc".into(), None));
    assert_eq!(request("live", "").0, "");
    assert_eq!(request("live", &"x".repeat(5000)).0.len(), LONGEST_NAME);
}

#[test]
fn what_is_not_served_is_refused_with_a_status() {
    let mut client = Client::shaken();
    let object = Value::object([("app", "vod".into())]);
    let refused = client.command(0, &["connect".into(), 1.0.into(), object]);
    assert!(matches!(refused, Err(SessionError::Refused(_))), "{refused:?}");
    assert_eq!(client.status(), "NetConnection.Connect.Rejected");

    let mut client = Client::connected("live");
    client.heard();
    let play = client.command(1, &["play".into(), 0.0.into(), Value::Null, "cam".into()]);
    assert!(matches!(play, Err(SessionError::Refused(_))));
    assert_eq!(client.status(), "NetStream.Play.Failed");

    let mut client = Client::shaken();
    let early = client.command(0, &["createStream".into(), 1.0.into(), Value::Null]);
    assert!(matches!(early, Err(SessionError::Refused(_))));

    let mut client = Client::connected("live");
    client.heard();
    client.publish("key");
    client.session.refuse("NetStream.Publish.Unauthorized", "no");
    client.heard();
    client.publish("key2");
    let twice = ["publish".into(), 3.0.into(), Value::Null, "x".into()];
    assert!(matches!(client.command(1, &twice), Err(SessionError::Refused(_))));
}

#[test]
fn control_messages_are_answered() {
    let mut client = Client::connected("live");
    client.heard();
    client.message(4, 0, 0, &[0, 6, 1, 2, 3, 4]).unwrap();
    assert!(client.session.take_output().ends_with(&[0, 7, 1, 2, 3, 4]));
    client.message(5, 0, 0, &20_000_u32.to_be_bytes()).unwrap();
    client.session.received(9_999);
    assert!(client.session.take_output().is_empty());
    client.session.received(1);
    assert!(client.session.take_output().ends_with(&10_000_u32.to_be_bytes()), "an acknowledgement");
    assert_eq!(client.message(1, 0, 0, &[0, 0]), Err(SessionError::Short(1)));
}

#[test]
fn aggregates_are_taken_apart() {
    let mut client = Client::connected("live");
    client.publish("key");
    client.session.accept();
    let mut body = Vec::new();
    for (kind, stamp, byte) in [(9_u8, 100_u32, 1_u8), (8, 120, 2)] {
        let [t3, t2, t1, t0] = stamp.to_be_bytes();
        body.extend([kind, 0, 0, 1, t2, t1, t0, t3, 0, 0, 0, byte, 0, 0, 0, 12]);
    }
    body.extend([9, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1]);
    let video = Event::Video { timestamp: 1000, body: Bytes::from_static(&[1]) };
    let audio = Event::Audio { timestamp: 1020, body: Bytes::from_static(&[2]) };
    assert_eq!(client.message(22, 1, 1000, &body), Ok(Some(video)));
    assert_eq!(client.session.next(&mut client.input), Ok(Some(audio)));
    assert_eq!(client.session.next(&mut client.input), Ok(None));
}

/// A deterministic generator (xorshift64*), so that a failure repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }
}

#[test]
fn broken_conversations_end_or_go_on_but_never_panic() {
    let mut good = Vec::new();
    let object = Value::object([("app", "live".into()), ("tcUrl", "rtmp://localhost/live".into())]);
    let commands: [&[Value]; 3] = [
        &["connect".into(), 1.0.into(), object],
        &["createStream".into(), 2.0.into(), Value::Null],
        &["publish".into(), 3.0.into(), Value::Null, "key".into(), "live".into()],
    ];
    for (stream, values) in commands.into_iter().enumerate() {
        chunk::write(&mut good, 3, 20, u32::from(stream == 2), 0, &amf::write(values), 128);
    }
    for at in 0..20_u32 {
        chunk::write(&mut good, 6, 9, 1, at * 40, &[0x17, 1, 0, 0, 0, 0, 0, 0, 1, 5], 128);
        chunk::write(&mut good, 4, 8, 1, at * 40, &[0xaf, 1, 2, 3], 128);
    }
    let (mut dice, mut published, mut failed) = (Dice(7), 0, 0);
    for _ in 0..3000 {
        let mut bytes = good.clone();
        for _ in 0..dice.roll(6) {
            let at = dice.roll(bytes.len());
            match dice.roll(3) {
                0 => bytes[at] = dice.roll(256) as u8,
                1 => bytes.truncate(at + 1),
                _ => drop(bytes.splice(at..at, [dice.roll(256) as u8; 3])),
            }
        }
        let mut client = Client::shaken();
        let mut tracks = crate::ingest::rtmp::tracks::Tracks::default();
        let mut out = Vec::new();
        client.input.extend_from_slice(&bytes);
        loop {
            match client.session.next(&mut client.input) {
                Ok(Some(Event::Publish(_))) => {
                    published += 1;
                    client.session.accept();
                }
                Ok(Some(Event::Video { timestamp, body })) => drop(tracks.video(timestamp, body, &mut out)),
                Ok(Some(Event::Audio { timestamp, body })) => drop(tracks.audio(timestamp, body, &mut out)),
                Ok(Some(Event::Metadata(data))) => tracks.metadata(&data),
                Ok(Some(Event::Unpublish)) => {}
                Ok(None) => break,
                Err(_) => {
                    failed += 1;
                    break;
                }
            }
        }
    }
    assert!(published > 1000 && failed > 300, "both ways are taken: {published} published, {failed} failed");
}
