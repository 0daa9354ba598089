"use strict";
// Takes a clip from a file, a drop or the camera, has it answered, and sends the right label. What the server says
// of it in a line is set as text; the answer itself is a part of the page, made where names are escaped.
(() => {
  const ask = document.getElementById("ask"), answer = document.getElementById("answer");
  const found = document.getElementById("found"), status = document.getElementById("status");
  const wrong = document.getElementById("wrong"), preview = document.getElementById("preview");
  const filming = document.getElementById("filming"), live = document.getElementById("live");
  const camera = document.getElementById("camera"), record = document.getElementById("record");
  const MOST_SECONDS = 10, most = Number(ask.dataset.megabytes);
  let clip = null, name = "", asked = null, recorder = null, timer = 0;

  function tell(text, error = "") {
    status.textContent = text;
    wrong.textContent = error;
  }

  function take(blob, called) {
    clip = blob;
    name = called;
    URL.revokeObjectURL(preview.src);
    preview.src = URL.createObjectURL(blob);
    preview.hidden = false;
    answer.hidden = true;
    tell(called);
  }
  preview.addEventListener("error", () => { preview.hidden = true; });  // of a format that browsers do not play

  /** The text that comes back for a clip; what is wrong is thrown. */
  async function send(where, about, blob, signal) {
    if (blob.size > 1e6 * most) throw new Error(`more than ${most} MB: send a shorter clip`);
    let response;
    try {
      response = await fetch(`${where}?${new URLSearchParams(about)}`, {method: "POST", body: blob, signal});
    } catch {
      throw new Error("it cannot be sent: is it a file, and does keras-actrec web still run?");
    }
    const text = await response.text();
    if (!response.ok) throw new Error(text);
    return text;
  }

  ask.addEventListener("submit", async event => {
    event.preventDefault();
    if (!clip) { tell("", "there is no clip yet: choose a file, drop one, or use the camera"); return; }
    asked?.stop.abort();  // nobody waits for that one any more
    const mine = asked = {clip, about: {model: ask.model.value, name}, stop: new AbortController()};
    answer.hidden = true;
    tell(`Looking at ${name} …`);
    try {
      const text = await send("answer", mine.about, mine.clip, mine.stop.signal);
      if (mine !== asked) return;  // another one was asked for since
      found.innerHTML = text;
      answer.hidden = false;
      tell("");
      answer.focus();
    } catch (error) {
      if (mine === asked) tell("", error.message);
    }
  });

  found.addEventListener("submit", async event => {
    event.preventDefault();
    const form = event.target, told = form.querySelector("[role=status]");
    told.textContent = "Saving …";
    const about = {...asked.about, label: form.label.value, keep: form.keep.checked ? "yes" : "no"};
    try {
      told.textContent = `Saved: ${await send("correct", about, asked.clip)}`;
    } catch (error) {
      told.textContent = `Not saved: ${error.message}`;
    }
  });

  // Files

  ask.file.addEventListener("change", () => {
    const [file] = ask.file.files;
    if (file) take(file, file.name);
  });
  for (const [kind, over] of [["dragover", true], ["dragleave", false], ["drop", false]])
    addEventListener(kind, event => { event.preventDefault(); ask.classList.toggle("over", over); });
  addEventListener("drop", event => {
    const [file] = event.dataTransfer.files;
    if (!file) return;
    ask.file.value = "";  // it would show another name
    take(file, file.name);
  });

  // The camera

  function close() {
    for (const track of live.srcObject ? live.srcObject.getTracks() : []) track.stop();
    live.srcObject = null;
    filming.hidden = true;
    camera.hidden = false;
  }

  if (!navigator.mediaDevices || !window.MediaRecorder) {
    camera.hidden = true;
    document.getElementById("without").hidden = false;
  }
  camera.addEventListener("click", async () => {
    try {
      live.srcObject = await navigator.mediaDevices.getUserMedia({video: {width: {ideal: 640}}, audio: false});
    } catch (error) {
      tell("", `the camera cannot be used: ${error.message}`);
      return;
    }
    tell("");
    filming.hidden = false;
    camera.hidden = true;
    record.focus();
    await live.play();
  });
  document.getElementById("close").addEventListener("click", () => {
    if (recorder) recorder.onstop = null;
    recorder = null;
    clearTimeout(timer);
    record.textContent = "Record";
    close();
    tell("");
    camera.focus();
  });
  record.addEventListener("click", () => {
    if (recorder) { recorder.stop(); return; }
    const type = ["video/webm;codecs=vp8", "video/mp4"].find(each => MediaRecorder.isTypeSupported(each));
    const parts = [];
    recorder = new MediaRecorder(live.srcObject, {mimeType: type});
    recorder.ondataavailable = event => parts.push(event.data);
    timer = setTimeout(() => { if (recorder) recorder.stop(); }, 1000 * MOST_SECONDS);
    recorder.onstop = () => {
      clearTimeout(timer);
      recorder = null;
      record.textContent = "Record";
      close();
      ask.file.value = "";
      take(new Blob(parts, {type}), type.startsWith("video/webm") ? "camera.webm" : "camera.mp4");
      ask.querySelector("[type=submit]").focus();
    };
    recorder.start();
    record.textContent = "Stop";
    tell(`Recording, for ${MOST_SECONDS} seconds at most …`);
  });
})();
