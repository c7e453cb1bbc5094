"use strict";
// Light or dark: the system's choice until the button is pressed.
const root = document.documentElement;
const button = document.getElementById("theme");
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
const tell = () => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`); };
button.hidden = false;
button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; tell(); });
system.addEventListener("change", tell);
tell();

// One sound at a time; a line runs over its picture; a click on the picture plays from there.
const players = [...document.querySelectorAll("audio")];
for (const audio of players) {
  const view = audio.closest(".tile").querySelector(".view");
  const head = view && view.querySelector(".head");
  const follow = () => {
    if (head) head.style.left = `${(100 * audio.currentTime) / (audio.duration || 1)}%`;
    if (!audio.paused && !audio.ended) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", () => {
    for (const other of players) if (other !== audio) other.pause();
    audio.closest(".tile").classList.add("playing");
    follow();
  });
  for (const end of ["pause", "ended"]) audio.addEventListener(end, () => audio.closest(".tile").classList.remove("playing"));
  audio.addEventListener("seeked", follow);
  if (view) view.addEventListener("click", (event) => {
    const box = view.getBoundingClientRect();
    if (audio.duration) audio.currentTime = (audio.duration * (event.clientX - box.left)) / box.width;
    audio.play();
  });
}

// What is folded is printed too.
addEventListener("beforeprint", () => { for (const each of document.querySelectorAll("details.numbers")) each.open = true; });
