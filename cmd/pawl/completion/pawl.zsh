#compdef pawl
# zsh completion for pawl; made by "pawl completion zsh".
_pawl() {
	local -a found
	found=("${(@f)$("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	found=(${found:#})
	if (( $#found )); then
		compadd -- "${found[@]}"
	else
		_files
	fi
}
if [[ $funcstack[1] == _pawl ]]; then
	_pawl "$@"
else
	compdef _pawl pawl
fi
