// A button to copy each block of code, where the browser lets a page write to the clipboard.
if (navigator.clipboard) {
  for (const block of document.querySelectorAll(".code")) {
    const button = document.createElement("button");
    const word = document.createTextNode("Copy");
    const name = document.createElement("span");
    name.className = "unseen";
    name.textContent = ` ${block.querySelector("p").textContent}`;
    button.type = "button";
    button.append(word, name);
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(block.querySelector("code").textContent);
      word.data = "Copied";
      document.getElementById("announcer").textContent = `Copied${name.textContent}.`;
      setTimeout(() => (word.data = "Copy"), 2000);
    });
    block.append(button);
  }
}
