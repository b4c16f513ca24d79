// The form for a new stream: live, or from a file, an address or the test card.
"use strict";
const adminCreate = (detail, created) => {
  const { make } = ui;
  const field = (text, input, hint) => make("label", { class: "field" }, text, input, hint ? make("span", { class: "quiet" }, hint) : null);
  const option = (value, text) => make("option", { value }, text ?? value);
  const kinds = [["publisher", "Live (OBS, ffmpeg)"], ["livecard", "Live test card"], ["upload", "Upload"], ["url", "URL"], ["relay", "Live from another server"], ["file", "File on the server"], ["testcard", "Test card"]];
  const title = make("input", { maxlength: 200, placeholder: "What viewers shall read" });
  const id = make("input", { maxlength: 64, pattern: "[a-z0-9][a-z0-9\\-]*", placeholder: "made of the title", autocomplete: "off" });
  const file = make("input", { type: "file", accept: "video/*,.mkv,.ts" });
  const url = make("input", { type: "url", placeholder: "https://example.org/film.mp4" });
  const relay = make("input", { type: "url", placeholder: "https://example.org/live/master.m3u8" });
  const path = make("input", { placeholder: "film.mp4", autocomplete: "off" });
  const lines = make("select", {}, ...[360, 480, 720, 1080, 1440, 2160].map((n) => option(n)));
  lines.value = "720";
  const duration = make("input", { type: "number", min: 1, max: 86400, value: 60 });
  const dvr = make("input", { type: "number", min: 0, max: 604800, value: 300 });
  const latency = make("select", {}, option("low", "low (about 2 s)"), option("normal", "normal (about 10 s)"));
  const record = make("input", { type: "checkbox" });
  const takeover = make("input", { type: "checkbox", checked: true });
  const watchers = make("select", {}, option("public", "everybody"), option("private", "those with a link or a password"));
  const rungs = make("input", { placeholder: "the server's", autocomplete: "off", spellcheck: false });
  const most = make("select", {}, option("", "the source's own"), ...[240, 360, 480, 720, 1080, 1440].map((n) => option(n)));
  const sound = make("input", { type: "number", min: 32, max: 320, placeholder: 128 });
  const speed = make("select", {}, option("veryfast", "best pictures"), option("superfast", "in between"), option("ultrafast", "least work"));
  const through = make("select", {}, option("auto", "where it can be"), option("always", "always (or fail)"), option("never", "never"));
  const said = make("p", { class: "quiet", role: "status" });
  const progress = make("progress", { max: 1, value: 0, hidden: true, "aria-label": "uploaded" });
  const why = make("p", { class: "why", role: "alert" });
  const choice = ([value, text], index) => make("label", { class: "choice" }, make("input", { type: "radio", name: "kind", value, checked: index === 0, onchange: () => select(value) }), text);
  const parts = {
    live: make("div", { class: "fields" }, make("div", { class: "pair" }, field("Seconds that viewers can go back", dvr, "0 keeps everything"), field("Latency", latency)),
      make("label", { class: "choice" }, record, "Keep the recording when it ends"), make("label", { class: "choice" }, takeover, "A second publisher takes over (else it is refused)")),
    card: make("div", { class: "pair" }, field("Lines", lines), field("Seconds", duration)),
    upload: field("Video file", file), url: field("http or https address of a video file or of an HLS playlist", url), relay: field("http or https address of a live HLS playlist", relay), file: field("Path below an allowed folder", path),
    watchers: field("Who may watch", watchers, "Links and passwords are made on the stream's page"),
    ladder: make("details", { class: "ladder" }, make("summary", {}, "Ladder"), make("div", { class: "fields" }, field("Rungs to choose from", rungs, "Lines and kbit/s: 720:2800 480:1200 240:300"),
      make("div", { class: "pair" }, field("Highest rung in lines", most), field("Sound in kbit/s", sound)), make("div", { class: "pair" }, field("Encoder", speed), field("The source itself is a rung", through)))),
  };
  let kind = "publisher";
  const live = () => ["publisher", "livecard", "relay"].includes(kind);
  const select = (value) => {
    kind = value;
    parts.live.hidden = !live();
    takeover.closest("label").hidden = kind !== "publisher";
    through.closest("label").hidden = live();
    parts.card.hidden = !["testcard", "livecard"].includes(kind);
    duration.closest("label").hidden = kind === "livecard";
    for (const name of ["upload", "url", "relay", "file"]) parts[name].hidden = kind !== name;
  };
  const upload = (blob) => adminUpload(blob, (bytes, word) => {
    progress.hidden = false;
    progress.value = bytes / blob.size;
    said.textContent = word;
  });
  // Only what differs from the server's own ladder is sent.
  const profile = () => {
    const wanted = {};
    const text = rungs.value.trim();
    if (text) wanted.rungs = text.split(/[\s,;]+/).map((rung) => {
      const [, rows, kbps] = /^(\d+)p?[:=@](\d+)k?$/.exec(rung) ?? [];
      if (!rows) throw new Error(`"${rung}" is no rung; write them as 720:2800 (lines, kbit/s).`);
      return { lines: Number(rows), kbps: Number(kbps) };
    });
    if (most.value) wanted.max_lines = Number(most.value);
    if (sound.value) wanted.audio_kbps = Number(sound.value);
    if (speed.value !== "veryfast") wanted.speed = speed.value;
    if (through.value !== "auto" && !live()) wanted.passthrough = through.value;
    return Object.keys(wanted).length ? wanted : undefined;
  };
  const submit = async (event) => {
    event.preventDefault();
    why.textContent = "";
    button.disabled = true;
    try {
      const body = { title: title.value.trim() || undefined, id: id.value.trim() || undefined, profile: profile() };
      if (watchers.value === "private") body.auth = { view: "private" };
      const card = { type: "testcard", height: Number(lines.value) };
      if (live()) {
        Object.assign(body, { mode: "live", dvr_s: Number(dvr.value), latency: latency.value, record: record.checked });
        if (kind === "publisher") Object.assign(body, { source: { type: "publisher" }, takeover: takeover.checked });
        else body.source = kind === "relay" ? { type: "url", url: relay.value.trim() } : card;
      } else if (kind === "testcard") body.source = { ...card, duration_s: Number(duration.value) };
      else if (kind === "url") body.source = { type: "url", url: url.value.trim() };
      else if (kind === "file") body.source = { type: "file", path: path.value.trim() };
      else {
        if (!file.files[0]) throw new Error("Choose a video file first.");
        body.source = { type: "upload", upload: await upload(file.files[0]) };
      }
      created(await api.post("/api/stream/create", body));
    } catch (error) { why.textContent = error.message; }
    progress.hidden = true;
    said.textContent = "";
    button.disabled = false;
  };
  const button = make("button", {}, "Create");
  const form = make("form", { class: "create panel", onsubmit: submit }, make("h2", {}, "New stream"),
    make("fieldset", {}, make("legend", {}, "Source"), ...kinds.map(choice)),
    make("div", { class: "pair" }, field("Title", title), field("Id", id)), ...Object.values(parts), progress, said, why, button);
  select(kind);
  detail.replaceChildren(form);
  form.querySelector("input").focus({ preventScroll: true });
};
