#!/bin/sh
# Fetches the vendored front-end files from the npm registry, each package at a pinned version with a pinned
# hash, and writes them to static/vendor. Run it after changing a version; the result is committed.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=$PWD/vendor
mkdir -p "$out"

# package NAME VERSION SHA512 (base64): unpacks into $work/package
package() {
	rm -rf "$work/package"
	file=$(cd "$work" && npm pack --silent "$1@$2" | tail -n 1)
	have=$(openssl dgst -sha512 -binary "$work/$file" | base64 -w0)
	if [ "$have" != "$3" ]; then
		echo "$1@$2: hash is $have, not $3" >&2
		exit 1
	fi
	tar -xzf "$work/$file" -C "$work"
}

package htmx.org 2.0.11 'Thx/WtpeOQqSrqBCw/A1cwGJGg4UrVa3+sW0GmrM3p4gJgO89ecH4qtbnyzDDWFvBTqjnIMCgELTNt636dtamA=='
cp "$work/package/dist/htmx.min.js" "$out/htmx.min.js"
cp "$work/package/LICENSE" "$out/htmx.LICENSE"

# A bundle of the kinds of charts that we use. What they never reach for is emptied first.
modules=$work/node_modules
mkdir -p "$modules"
package zrender 6.1.0 'oEGMDB6pOP2S6OwRR4PdVv610zrjnA3Bh+JnSG12fYJlBKjtNAoEb5fSUoCOOINlH96I2fU38/A2UpRKs67xYQ=='
mv "$work/package" "$modules/zrender"
package tslib 2.3.0 'N82ooyxVNm6h1riLCoyS9e3fuJ3AMG2zIZs2Gd1ATcSFjSA23Q0fzjjZeh0jbJvWVDZ0cJT8yaNNaaXHzueNjg=='
mv "$work/package" "$modules/tslib"
package echarts 6.1.0 'q0yaFPggC9FUdsWH4blavRWFmxdrIodbkoKNAjJudAI6CA9gNPxHtV2RcZNEepZVlk4yvBYkOkbk6HIVpIyHZA=='
mv "$work/package" "$modules/echarts"
cat "$modules/echarts/LICENSE" "$modules/echarts/NOTICE" "$modules/zrender/LICENSE" >"$out/echarts.LICENSE"
lib=$modules/echarts/lib
echo 'export default {};' | tee "$lib/i18n/langZH.js" >"$lib/theme/dark.js"
echo 'export default class {}' | tee "$lib/component/tooltip/TooltipHTMLContent.js" >"$lib/chart/heatmap/HeatmapLayer.js"
echo 'export default function () {}' | tee "$lib/preprocessor/helper/compatStyle.js" "$lib/preprocessor/backwardCompat.js" >"$lib/loading/default.js"
echo 'export function createOrUpdatePatternFromDecal() {}' >"$lib/util/decal.js"
echo 'export function createSectorCalculateTextPosition() {} export function setSectorTextRotation() {}' >"$lib/label/sectorLabel.js"
echo 'export var EASING_MAP = {}; export var ANIMATE_STYLE_MAP = {}; export function createCSSAnimation() {}' >"$modules/zrender/lib/svg/cssAnimation.js"
echo 'export function createCSSEmphasis() {}' >"$modules/zrender/lib/svg/cssEmphasis.js"
cp echarts.entry.js "$work/entry.js"
(cd "$work" && go run github.com/evanw/esbuild/cmd/esbuild@v0.28.0 entry.js --bundle --minify --format=iife --target=es2017 --legal-comments=none --log-level=warning --outfile="$out/echarts.min.js")

package @fontsource/ibm-plex-sans 5.3.0 'CbE4CbbEEZJX860XyUiRpsksXIQR8Rp2XDva2VO53NJox9tVNtusrysd2x5YkUEY3ErQ66W1IiiQL8/wihhw5w=='
for w in 400 500 600; do
	for set in latin latin-ext cyrillic greek; do
		cp "$work/package/files/ibm-plex-sans-$set-$w-normal.woff2" "$out/"
	done
done
cp "$work/package/LICENSE" "$out/ibm-plex-sans.LICENSE"

package @fontsource/ibm-plex-mono 5.3.0 'eTgnZjZEGk1QtD3ZstF+Vclo2HLAni8YMy34/DxllwZvyz1lR/1RF/xTiAquOBO7MvqBx8D2Ig2WCPMVfdZu7Q=='
for set in latin latin-ext; do
	cp "$work/package/files/ibm-plex-mono-$set-400-normal.woff2" "$out/"
done
cp "$work/package/LICENSE" "$out/ibm-plex-mono.LICENSE"

package @tabler/icons 3.51.0 '0pinvPZz7YeX+OSfxuEAbnEPWbocVXW5iU8h5lh41pYG8sZuQfpWECC980lxOT0clGIcNGn8xsBr+zKaRGdA/g=='
{
	echo '<svg xmlns="http://www.w3.org/2000/svg">'
	for icon in messages activity-heartbeat settings arrow-left chevron-left chevron-right chevron-down chevron-up x plus link headset \
		player-play player-stop player-pause menu-2 calendar filter search logout sun moon alert-triangle key download circle-check copy keyboard layout-dashboard arrows-split clock mood-smile bulb scale target-arrow flag progress note columns check bookmark tag thumb-up thumb-down at pencil trash checklist star arrow-back-up arrow-right arrow-forward-up users chart-bar list-search shield-lock user user-plus id eye eye-off adjustments stethoscope world; do
		printf '<symbol id="%s" viewBox="0 0 24 24">' "$icon"
		sed -n '/^ *<\(path\|circle\|rect\|line\)/p' "$work/package/icons/outline/$icon.svg" | grep -v 'stroke="none"' | tr -d '\n'
		echo '</symbol>'
	done
	echo '</svg>'
} >"$out/icons.svg"
cp "$work/package/LICENSE" "$out/tabler-icons.LICENSE"

# Common passwords: all long ones, and the commonest of those to which people add something.
package @zxcvbn-ts/language-common 4.1.3 'g2bg4skmlJG9aJqC/nWziZzgYpSe/f3rKeGobrkdFiOrfZVFqqzUgC6BUQWuX54Sua9j0Jxxt+1bf4f/Mal1Kg=='
node -e '
const all = require(process.argv[1]).filter(p => p.length >= 6)
console.log(all.filter((p, i) => i < 6000 || p.length >= 12).join("\n"))' "$work/package/src/passwords.json" >"$PWD/../access/passwords.txt"
cp "$work/package/LICENSE.txt" "$out/zxcvbn.LICENSE"

# Fonts of pictures and PDF, which need TrueType; the last two stand in for scripts that the first has not.
fonts=$PWD/../report/fonts
mkdir -p "$fonts"
package @expo-google-fonts/ibm-plex-sans 0.4.1 'allsuhZbvKoKDTB/U8creFVYYzhI97Nw9MgyyNjFzqISNc/sURpA7ZY37Rr+IRI567OV9BWQ/ioUCjAQrVGRbw=='
cp "$work/package/400Regular/IBMPlexSans_400Regular.ttf" "$fonts/ibm-plex-sans-400.ttf"
cp "$work/package/600SemiBold/IBMPlexSans_600SemiBold.ttf" "$fonts/ibm-plex-sans-600.ttf"
cp "$out/ibm-plex-sans.LICENSE" "$fonts/"
package dejavu-fonts-ttf 2.37.3 'f1hd7jJbeQa1VWcw+K2KrTXS50zTMaHpVC4XIKJpNcDeYR5ajMtj/iLlQDYNvLOKamUB3ARVVCf79lNwNVztSQ=='
cp "$work/package/ttf/DejaVuSans.ttf" "$fonts/dejavu-sans.ttf"
cp "$work/package/LICENSE" "$fonts/dejavu-sans.LICENSE"
package @expo-google-fonts/noto-sans-sc 0.4.3 '9rAwdFTFHbO/u6Cs0gj2jZbW74TGIiaFNQnXYH2s5wA1bzVkwbaviL4t8YUV642eGYjg86eH6DkAEQmfNHDncQ=='
gzip -9 -n -c "$work/package/400Regular/NotoSansSC_400Regular.ttf" >"$fonts/noto-sans-sc.ttf.gz"
cp "$work/package/LICENSE_FONT" "$fonts/noto-sans-sc.LICENSE"
