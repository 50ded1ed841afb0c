// The scanner's screen: where typing goes, what is heard, and the camera.
(() => {
  const form = () => document.getElementById("scan-form");
  const field = () => document.querySelector("#scan-form [name=code]");
  const answer = () => document.getElementById("answer");

  // Sound: two short tones that rise, or one low one.
  let audio;
  const tone = (frequency, start, length) => {
    const oscillator = audio.createOscillator();
    const volume = audio.createGain();
    oscillator.frequency.value = frequency;
    volume.gain.value = 0.2;
    oscillator.connect(volume).connect(audio.destination);
    oscillator.start(audio.currentTime + start);
    oscillator.stop(audio.currentTime + start + length);
  };
  const sound = (colour) => {
    if (!window.AudioContext) return;
    audio = audio || new AudioContext();
    if (colour === "red") tone(180, 0, 0.4);
    else if (colour === "yellow") tone(520, 0, 0.2);
    else for (const [frequency, start] of [[740, 0], [1100, 0.12]]) tone(frequency, start, 0.1);
  };

  const arrived = () => {
    const shown = answer().querySelector("[data-answer]");
    if (!shown) return;
    sound(shown.dataset.answer);
    const first = shown.querySelector("[autofocus]");
    if (first) first.focus();
    field().value = "";
  };

  const next = () => {
    answer().replaceChildren();
    field().value = "";
    field().focus();
    camera.resume();
  };

  // Whatever a hand scanner types belongs to the field, wherever the focus is.
  document.addEventListener("keydown", (event) => {
    const isText = event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (!isText || event.target.matches("input") || (event.key === " " && event.target.matches("button, a"))) return;
    answer().replaceChildren();
    field().focus();
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-next]")) return;
    event.preventDefault();
    next();
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target === answer()) arrived();
  });

  // The camera: the browser's own detector where it has one, else the vendored decoder.
  const camera = {
    isPaused: false,
    async start(box) {
      const video = box.querySelector("video");
      try {
        video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      } catch {
        box.querySelector("[data-camera-refused]").hidden = false;
        return;
      }
      video.hidden = false;
      box.querySelector("[data-camera-start]").hidden = true;
      await video.play();
      const read = await camera.reader(box);
      const look = async () => {
        if (!camera.isPaused) {
          const text = await read(video).catch(() => null);
          if (text && !camera.isPaused) camera.take(text);
        }
        setTimeout(look, 150);
      };
      look();
    },
    async reader(box) {
      if (window.BarcodeDetector) {
        const known = await window.BarcodeDetector.getSupportedFormats();
        const wanted = ["qr_code", "code_128", "ean_13", "pdf417"].filter((format) => known.includes(format));
        if (wanted.includes("qr_code")) {
          const detector = new window.BarcodeDetector({ formats: wanted });
          return async (video) => ((await detector.detect(video))[0] || {}).rawValue;
        }
      }
      await new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = box.dataset.decoder;
        script.addEventListener("load", resolve);
        script.addEventListener("error", reject);
        document.head.append(script);
      });
      const canvas = document.createElement("canvas");
      const context = canvas.getContext("2d", { willReadFrequently: true });
      return async (video) => {
        if (!video.videoWidth) return null;
        canvas.width = video.videoWidth;
        canvas.height = video.videoHeight;
        context.drawImage(video, 0, 0);
        const picture = context.getImageData(0, 0, canvas.width, canvas.height);
        return (window.jsQR(picture.data, picture.width, picture.height) || {}).data;
      };
    },
    take(text) {
      camera.isPaused = true;
      field().value = text;
      form().requestSubmit();
    },
    resume() {
      camera.isPaused = false;
    },
  };

  document.addEventListener("DOMContentLoaded", () => {
    const box = document.querySelector("[data-camera]");
    if (box && navigator.mediaDevices && navigator.mediaDevices.getUserMedia) {
      box.hidden = false;
      box.querySelector("[data-camera-start]").addEventListener("click", () => camera.start(box));
    }
    arrived();
  });

  // Without connection: `scan-offline.js` answers where it may.
  const show = (id) => {
    answer().replaceChildren(document.getElementById(id).content.cloneNode(true));
    arrived();
  };
  document.addEventListener("click", async (event) => {
    const undo = event.target.closest("[data-offline-undo]");
    if (undo) show(await window.cohortOffline.undo(undo.dataset.offlineUndo));
  });
  const lost = async (event) => {
    if (event.detail.elt.matches("[hx-post='/scan/redeem'], [hx-post^='/scan/undo/']")) show("answer-lost");
    if (event.detail.elt !== form()) return;
    const text = field().value;
    show(window.cohortOffline ? await window.cohortOffline.judge(text) : "offline-never");
  };
  document.addEventListener("htmx:sendError", lost);
  document.addEventListener("htmx:timeout", lost);
})();
