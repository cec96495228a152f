"use strict";
(() => {
  const said = document.getElementById("said");
  for (const button of document.querySelectorAll(".command button")) {
    button.addEventListener("click", async () => {
      const code = button.previousElementSibling;
      getSelection().selectAllChildren(code); // what a reader without a clipboard copies by hand
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
        said.textContent = "The command was copied.";
      } catch {
        button.textContent = "Selected";
        said.textContent = "The command was selected.";
      }
      setTimeout(() => { button.textContent = "Copy"; said.textContent = ""; }, 2000);
    });
  }
})();
